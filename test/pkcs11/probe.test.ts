import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parseVendorProfile } from '../../src/pkcs11/parse-vendor-profile.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'
import type { RecordedCall } from '../support/fault-module.ts'
import { faultModule } from '../support/fault-module.ts'
import type { SoftHsmToken } from '../support/softhsm.ts'
import { makeSoftHsmToken, nativeProfile } from '../support/softhsm.ts'

const PROBE = join(import.meta.dirname, '..', '..', 'scripts', 'probe-token')

describe('probe', () => {
  let token: SoftHsmToken
  let withoutGcm: SoftHsmToken
  before(async () => {
    ;[token, withoutGcm] = await Promise.all([
      makeSoftHsmToken(),
      makeSoftHsmToken({ withoutGcm: true }),
    ])
  })
  after(() => {
    token.remove()
    withoutGcm.remove()
  })

  /** Runs the probe behind the fault module; `calls` is what the token was asked, also when the probe fails. */
  async function probe(of: SoftHsmToken, rules: readonly string[] = []) {
    const faults = faultModule(of.modulePath, of.dir)
    if (rules.length > 0) faults.rules(rules)
    const args = ['--module', faults.modulePath, '--serial', of.serial]
    const env = { ...process.env, ...of.env, ...faults.env }
    const run = promisify(execFile)(PROBE, [...args, '--pin-file', join(of.dir, 'pin')], { env })
    const [result] = await Promise.allSettled([run])
    faults.clear()
    return { result, calls: faults.calls() }
  }

  async function probed(of: SoftHsmToken, rules: readonly string[] = []): Promise<VendorProfile> {
    const { result } = await probe(of, rules)
    if (result.status === 'rejected') throw result.reason as Error
    return parseVendorProfile(JSON.parse(result.value.stdout))
  }

  function objectsLeft(calls: readonly RecordedCall[]): number {
    const worked = (...names: string[]): number =>
      calls.filter((call) => names.includes(call.function) && call.rv === 0).length
    const made = worked('C_GenerateKey', 'C_CreateObject')
    expect(made).to.be.greaterThan(1)
    return made - worked('C_DestroyObject')
  }

  // What a probe cannot find out: known to people, so written by hand in native-config.
  const BY_HAND = [
    '$schema',
    'name',
    'measured',
    'modulePath',
    'loginRewritesFiles',
    'loginLimit',
    'sessionCopies',
    'import',
  ]
  const measurable = (profile: VendorProfile): object =>
    Object.fromEntries(Object.entries(profile).filter(([field]) => !BY_HAND.includes(field)))

  it('ARCH-D15: measures what native-config says about SoftHSM2', async () => {
    const profile = await probed(token)
    expect(measurable(profile)).to.deep.equal(measurable(nativeProfile('softhsm2')))
    expect(profile).to.include({ killSafe: false, loginLimit: 3 })
    expect(profile.import.allowHostUnwrap).to.equal(false)
  })

  it('finds the second scheme where GCM is absent', async () => {
    const profile = await probed(withoutGcm)
    expect(profile).to.include({ aeadScheme: 'AES_CBC_HMAC', ivModel: 'host', ivBytes: 16 })
  })

  it('finds a token that writes the IV itself', async () => {
    const profile = await probed(token, ['C_EncryptInit hsmiv'])
    expect(profile).to.include({ aeadScheme: 'AES_GCM', ivModel: 'hsm-written', ivBytes: 12 })
  })

  it('finds a token that appends an IV of its own', async () => {
    const profile = await probed(token, ['* appendiv=16'])
    expect(profile).to.include({ aeadScheme: 'AES_GCM', ivModel: 'hsm-appended', ivBytes: 16 })
  })

  it('learns the return code of a bad tag, and calls it ambiguous', async () => {
    const profile = await probed(token, ['C_Decrypt skip=1 rv=0x80000042'])
    expect(profile.ambiguousCkrs).to.include('CKR_0x80000042')
  })

  it('finds that calls side by side pay off where one call is slow', async () => {
    const profile = await probed(token, ['C_Encrypt delay=2'])
    expect(profile.callsPerLane).to.equal(8)
  })

  it('logs in once, and leaves no object behind', async () => {
    const { calls } = await probe(token)
    expect(calls.filter((call) => call.function === 'C_Login')).to.have.length(1)
    expect(objectsLeft(calls)).to.equal(0)
  })

  it('destroys what it made also when the token turns out to be of no use', async () => {
    const { result, calls } = await probe(token, ['C_EncryptInit rv=0x70'])
    expect(result)
      .to.have.nested.property('reason.stderr')
      .that.matches(/neither AES-GCM nor AES-CBC with HMAC works/)
    expect(objectsLeft(calls)).to.equal(0)
  })
})
