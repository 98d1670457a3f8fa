import { expect } from 'chai'
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { join } from 'node:path'
import { ConfigError } from '../../src/daemon/config-error.ts'
import { readSeed } from '../../src/daemon/seed.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('seed', () => {
  const directory = temporaryDirectory()
  const file = join(directory, 'seed.yaml')

  it('accepts seed.example.yaml as it is, and shows no secret of it', () => {
    copyFileSync(join(import.meta.dirname, '../../seed.example.yaml'), file)
    chmodSync(file, 0o600)
    const seed = readSeed(file)
    const account = seed.accounts['111122223333']
    expect(account?.principals.map(({ name }) => name)).deep.equal(['alice', 'bob'])
    expect(account?.principals[1]?.policies?.[0]).match(/^\{"Version":"2012-10-17"/)
    expect(account?.keys[0]).include({
      keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
      region: 'eu-central-1',
    })
    expect(account?.keys[0]?.aliases).deep.equal(['alias/orders'])
    expect(inspect(seed, { depth: 9 }) + JSON.stringify(seed)).not.include('wJalrXUtnFEMI')
  })

  it('AT-K04: refuses a seed that others can read', () => {
    writeFileSync(file, 'accounts: {}\n')
    chmodSync(file, 0o644)
    expect(() => readSeed(file)).throw(ConfigError, 'chmod 600')
  })

  it('refuses aliases that AWS keeps for itself, and names that are none', () => {
    for (const name of ['alias/aws/s3', 'orders', 'alias/', 'alias/a:b']) {
      const key = '{ keyId: 1234abcd-12ab-34cd-56ef-1234567890ab, aliases: [NAME] }'
      const keys = key.replace('NAME', `'${name}'`)
      writeFileSync(file, `accounts:\n  '111122223333':\n    keys: [${keys}]\n`)
      chmodSync(file, 0o600)
      expect(() => readSeed(file), name).throw(ConfigError, 'must be alias/ and a name')
    }
  })

  it('AT-S23: refuses a credential of an external key store without id or secret', () => {
    const [id, secret] = ['A'.repeat(20), 's'.repeat(43)]
    for (const [accessKeyId, secretAccessKey, named] of [
      ['', secret, 'accessKeyId'],
      [id, '', 'secretAccessKey'],
    ] as const) {
      const credential = `{ accessKeyId: '${accessKeyId}', secretAccessKey: '${secretAccessKey}' }`
      const store = `{ name: one, uriPathPrefix: /one, credentials: [${credential}] }`
      writeFileSync(file, `accounts: {}\nxks:\n  stores: [${store}]\n`)
      chmodSync(file, 0o600)
      expect(() => readSeed(file)).throw(ConfigError, `${named}: must be`)
    }
  })

  it('names line and column of a key id that is no UUID', () => {
    writeFileSync(file, "accounts:\n  '111122223333':\n    keys:\n      - keyId: alias/x\n")
    chmodSync(file, 0o600)
    expect(() => readSeed(file)).throw(
      ConfigError,
      ':4:9 accounts.111122223333.keys.0.keyId: must be a UUID',
    )
  })
})
