import { expect } from 'chai'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { ConfigError } from '../../src/daemon/config-error.ts'
import { findHostSeal, HostSeal, makeHostSeal } from '../../src/daemon/host-seal.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const OWNER = 'AKIAIOSFODNN7EXAMPLE'
const SECRET = new Sensitive('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY')

describe('host seal', () => {
  const directory = temporaryDirectory()
  const seal = new HostSeal(randomBytes(32))

  it('ARCH-D12: opens what it sealed, and shows nothing of it', () => {
    const sealed = seal.seal(SECRET, OWNER)
    expect(sealed).not.include(SECRET.reveal())
    expect(seal.open(sealed, OWNER).reveal()).equal(SECRET.reveal())
  })

  it('never seals twice alike', () => {
    expect(seal.seal(SECRET, OWNER)).not.equal(seal.seal(SECRET, OWNER))
  })

  it('opens for the access key alone that it was sealed for', () => {
    expect(() => seal.open(seal.seal(SECRET, OWNER), 'AKIAI44QH8DHBEXAMPLE')).throw(ConfigError)
  })

  it('does not open under another host key', () => {
    expect(() => new HostSeal(randomBytes(32)).open(seal.seal(SECRET, OWNER), OWNER)).throw(
      ConfigError,
    )
  })

  it('refuses every single-bit change', () => {
    const bytes = Buffer.from(seal.seal(SECRET, OWNER).slice(3), 'base64')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const edited = Buffer.from(bytes)
      edited[bit >> 3] = (edited[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => seal.open(`v1.${edited.toString('base64')}`, OWNER), `bit ${bit}`).throw(
        ConfigError,
      )
    }
  })

  it('refuses what is no sealed secret', () => {
    for (const text of ['', 'v1.', 'v2.AAAA', 'v1.AAAA', `v1.${'A'.repeat(80)}`]) {
      expect(() => seal.open(text, OWNER), text).throw(ConfigError)
    }
  })

  it('derives keys that differ by purpose and stay the same', () => {
    const hex = (purpose: string): string => seal.deriveKey(purpose).reveal().toString('hex')
    expect(hex('a')).equal(hex('a')).and.lengthOf(64)
    expect(hex('a')).not.equal(hex('b'))
  })

  it('makes its key once, in a file of mode 0600', () => {
    const file = join(directory, 'host.key')
    expect(findHostSeal(file, {})).equal(undefined)
    const sealed = makeHostSeal(file, {}).seal(SECRET, OWNER)
    expect(statSync(file).mode & 0o777).equal(0o600)
    const before = readFileSync(file, 'utf8')
    expect(makeHostSeal(file, {}).open(sealed, OWNER).reveal()).equal(SECRET.reveal())
    expect(readFileSync(file, 'utf8')).equal(before)
  })

  it('AT-K04: refuses a host key that others can read', () => {
    const file = join(directory, 'open.key')
    writeFileSync(file, randomBytes(32).toString('hex'))
    chmodSync(file, 0o644)
    expect(() => findHostSeal(file, {})).throw(ConfigError, 'chmod 600')
  })

  it('prefers the key that systemd hands over', () => {
    const key = randomBytes(32)
    writeFileSync(join(directory, 'hsm-bridge-host-key'), key.toString('hex'), { mode: 0o400 })
    const found = findHostSeal(join(directory, 'none'), { CREDENTIALS_DIRECTORY: directory })
    expect(found?.open(new HostSeal(key).seal(SECRET, OWNER), OWNER).reveal()).equal(
      SECRET.reveal(),
    )
  })
})
