import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'chai'
import { CKA } from '../../src/pkcs11/attribute.ts'
import { aesKeyGen } from '../../src/pkcs11/mechanism.ts'
import { secretKeyTemplate } from '../../src/pkcs11/template.ts'
import type { WitnessedKey } from '../../src/pkcs11/witness.ts'
import type { InProcessToken } from '../support/softhsm.ts'
import { inProcessToken } from '../support/softhsm.ts'

describe('witness', () => {
  let token: InProcessToken
  before(() => {
    token = inProcessToken()
    const key = { keyType: 'AES', valueBytes: 32, uses: ['ENCRYPT'] } as const
    const template = (id: string, label: string) =>
      secretKeyTemplate({ ...key, id, label }, token.profile)
    token.anchor.generateKey(aesKeyGen(), template('c0ffee', 'kept'))
    const loose = template('bad0', 'loose').map(({ type, value }) => ({
      type,
      value: type === CKA.EXTRACTABLE ? true : value,
    }))
    token.anchor.generateKey(aesKeyGen(), loose)
  })

  function testimony(serial: string, pin: string): WitnessedKey[] {
    const program = join(import.meta.dirname, 'witness-process.ts')
    const args = [program, token.profile.modulePath, serial]
    const output = execFileSync(process.execPath, args, {
      input: pin,
      encoding: 'utf8',
      stdio: 'pipe',
    })
    return JSON.parse(output) as WitnessedKey[]
  }

  it('ARCH-D3: another library sees that a key of ours never left, and that a loose key may', () => {
    const keys = testimony(token.serial, token.pin).sort((a, b) => a.label.localeCompare(b.label))
    expect(keys).to.deep.equal([
      {
        id: 'c0ffee',
        label: 'kept',
        token: true,
        private: true,
        sensitive: true,
        alwaysSensitive: true,
        extractable: false,
        neverExtractable: true,
        local: true,
      },
      {
        id: 'bad0',
        label: 'loose',
        token: true,
        private: true,
        sensitive: true,
        alwaysSensitive: true,
        extractable: true,
        neverExtractable: false,
        local: true,
      },
    ])
  })

  it('has nothing to say about a token that it does not see', () => {
    expect(() => testimony('0000000000000000', token.pin)).to.throw(/sees no token/)
  })
})
