import { execFile } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import type { SoftHsmToken } from '../support/softhsm.ts'
import { makeSoftHsmToken } from '../support/softhsm.ts'

const MAKE_TOKEN = join(import.meta.dirname, '..', '..', 'softhsm', 'make-token')

describe('make-token', () => {
  let token: SoftHsmToken
  before(async () => {
    token = await makeSoftHsmToken()
  })
  after(() => token.remove())

  const again = (label: string, pinFile: string) =>
    promisify(execFile)(MAKE_TOKEN, ['--dir', token.dir, '--label', label, '--pin-file', pinFile])

  it('makes one token with a long random PIN, in files that nobody else reads', () => {
    expect(token.serial).to.match(/^[0-9a-f]{16}$/)
    expect(token.pin).to.match(/^[\w-]{32}$/)
    expect(readdirSync(token.tokenDirectory)).to.have.length(1)
    for (const name of ['pin', 'so-pin', 'softhsm2.conf'])
      expect(statSync(join(token.dir, name)).mode & 0o777, name).to.equal(0o600)
    expect(statSync(token.tokenDirectory).mode & 0o777).to.equal(0o700)
  })

  it('makes a token that its PIN opens', async () => {
    const args = ['--module', token.modulePath, '--token-label', token.label, '--login']
    const { stdout } = await promisify(execFile)(
      'pkcs11-tool',
      [...args, '--pin', token.pin, '--list-objects'],
      { env: { ...process.env, ...token.env } },
    )
    expect(stdout).to.not.match(/error/i)
  })

  it('refuses a label that is taken, and changes nothing', async () => {
    const before = readFileSync(join(token.dir, 'so-pin'), 'utf8')
    const failure: unknown = await again(token.label, join(token.dir, 'pin')).catch(
      (error: unknown) => error,
    )
    expect(String(failure)).to.match(/holds a token with the label/)
    expect(readFileSync(join(token.dir, 'so-pin'), 'utf8')).to.equal(before)
  })

  it('refuses a PIN file that others can read', async () => {
    const pinFile = join(token.dir, 'open-pin')
    writeFileSync(pinFile, 'secret-pin\n')
    chmodSync(pinFile, 0o640)
    const failure: unknown = await again('other', pinFile).catch((error: unknown) => error)
    expect(String(failure)).to.match(/can be read by others/)
    expect(readdirSync(token.tokenDirectory)).to.have.length(1)
  })
})
