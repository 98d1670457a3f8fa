import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { CKA, CKO } from '../../src/pkcs11/attribute.ts'
import { CKM } from '../../src/pkcs11/mechanism.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import type { RecordedCall } from '../support/fault-module.ts'
import { outcomeOf } from '../support/kms-client.ts'
import { callKms } from '../support/kms-request.ts'
import { type ForeignKey, visitToken } from '../support/token-visitor.ts'
import { XksClient } from '../support/xks-client.ts'
import { STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'

const CKU_USER = 1
/** While somebody asks, the canary is used so often. */
const HEALTH_MS = 1000
const anyway = () => true

/**
 * ARCH-D6 as calls: everything that lanes may ask of a token, and under which condition. What is not here they must not ask:
 * C_WrapKey, C_UnwrapKey, C_DeriveKey, C_SetAttributeValue, C_InitToken, C_SetPIN and the rest.
 */
const PERMITTED: Readonly<Record<string, (call: RecordedCall) => boolean>> = {
  C_Initialize: anyway,
  C_Finalize: anyway,
  C_GetInfo: anyway,
  C_GetSlotList: anyway,
  C_GetSlotInfo: anyway,
  C_GetTokenInfo: anyway,
  C_GetMechanismList: anyway,
  C_GetMechanismInfo: anyway,
  C_OpenSession: anyway,
  C_CloseSession: anyway,
  C_GetSessionInfo: anyway,
  C_Login: ({ user }) => user === CKU_USER,

  C_FindObjectsInit: ({ attributes = [] }) => !attributes.includes(CKA.VALUE),
  C_FindObjects: anyway,
  C_FindObjectsFinal: anyway,
  // Records are read. A secret key of ours would refuse (AT-K08), so an answer proves that it was none.
  C_GetAttributeValue: ({ attributes = [], rv }) => !attributes.includes(CKA.VALUE) || rv === 0,
  C_DestroyObject: anyway,

  // Key material is made in the token, never brought in; what the host writes are records.
  C_CreateObject: (call) => call.class === CKO.DATA,
  C_GenerateKey: (call) =>
    call.class === CKO.SECRET_KEY &&
    [CKM.CKM_AES_KEY_GEN, CKM.CKM_GENERIC_SECRET_KEY_GEN].some((it) => it === call.mechanism) &&
    [CKA.TOKEN, CKA.PRIVATE, CKA.SENSITIVE, CKA.EXTRACTABLE].every((type) =>
      call.attributes?.includes(type),
    ) &&
    !call.attributes?.includes(CKA.VALUE),

  // A session copy changes nothing but CKA_TOKEN: what is sensitive stays so.
  C_CopyObject: ({ attributes = [] }) => attributes.length === 1 && attributes[0] === CKA.TOKEN,

  C_EncryptInit: anyway,
  C_Encrypt: anyway,
  C_DecryptInit: anyway,
  C_Decrypt: anyway,
  C_SignInit: ({ mechanism }) => mechanism === CKM.CKM_SHA256_HMAC,
  C_Sign: anyway,
  C_GenerateRandom: anyway,
}

/** What lanes read of every key that they have made, before it is used (src/pkcs11/template.ts). */
const READ_BACK = [
  CKA.TOKEN,
  CKA.PRIVATE,
  CKA.SENSITIVE,
  CKA.EXTRACTABLE,
  CKA.LOCAL,
  CKA.ALWAYS_SENSITIVE,
  CKA.NEVER_EXTRACTABLE,
]

for (const withoutGcm of [false, true])
  describe(`the calls of a whole life, ${withoutGcm ? 'AES_CBC_HMAC' : 'AES_GCM'}`, () => {
    let daemon: DaemonUnderTest
    let calls: readonly RecordedCall[]

    before(async () => {
      daemon = await DaemonUnderTest.prepare({ faults: { record: true }, withoutGcm })
      await daemon.serve()
      await liveALife(daemon)
      await daemon.terminate()
      await daemon.serve()
      await daemon.cli('doctor')
      await daemon.cli('reconcile')
      await daemon.terminate()
      calls = daemon.faults.calls()
    })
    after(() => daemon.stop())

    it('ARCH-D6: stay within what may be asked of a token', () => {
      expect(named(calls).size).to.be.greaterThan(15)
      expect(outside(calls)).to.deep.equal([])
    })

    it('ARCH-D4: hold one login per process that has a session, and every one succeeds', () => {
      const pidsOf = (name: string) =>
        calls.filter((call) => call.function === name).map(({ pid }) => pid)
      const lanes = new Set(pidsOf('C_OpenSession'))
      expect(lanes.size).to.be.greaterThan(4)
      expect(pidsOf('C_Login')).to.have.members([...lanes])
      expect(calls.every((call) => call.function !== 'C_Login' || call.rv === 0)).to.equal(true)
    })

    it('ARCH-D6: read back the attributes of every key right after it was made or copied', () => {
      const generated = calls.filter((call) => call.function === 'C_GenerateKey')
      // Canary, record key, two keys and a rotation.
      expect(generated).to.have.length(withoutGcm ? 9 : 5)
      const copied = calls.filter((call) => call.function === 'C_CopyObject')
      expect(copied).to.not.have.length(0)
      for (const { pid, made, atNs } of [...generated, ...copied]) {
        const touching = calls.filter(
          (call) => call.pid === pid && call.atNs > atNs && call.key === made,
        )
        expect(touching[0]).to.include({ function: 'C_GetAttributeValue', rv: 0 })
        expect(touching[0]?.attributes).to.have.members(READ_BACK)
      }
    })

    it('ARCH-D7: draw data keys and IVs in the token', () => {
      const drawn = calls.filter((call) => call.function === 'C_GenerateRandom')
      expect(drawn.some(({ inBytes = 0 }) => inBytes >= 32)).to.equal(true)
    })
  })

describe('the calls of a whole life behind the XKS face', () => {
  let bridge: XksDaemonUnderTest
  let calls: readonly RecordedCall[]

  before(async function () {
    this.timeout(60_000)
    bridge = await XksDaemonUnderTest.start({ faults: { record: true } })
    await liveBehindXks(bridge)
    await bridge.daemon.terminate()
    calls = bridge.daemon.faults.calls()
  })
  after(() => bridge?.stop())

  it('ARCH-D6: stay within what may be asked of a token', () => {
    expect(named(calls).size).to.be.greaterThan(15)
    expect(outside(calls)).to.deep.equal([])
  })

  it('ARCH-D6: read back the attributes of every key right after it was made', () => {
    const generated = calls.filter((call) => call.function === 'C_GenerateKey')
    expect(generated).to.have.length(4) // canary, record key, a key and its rotation; none for the adopted one
    for (const { pid, made, atNs } of generated) {
      const [first] = calls.filter((it) => it.pid === pid && it.atNs > atNs && it.key === made)
      expect(first).to.include({ function: 'C_GetAttributeValue', rv: 0 })
      expect(first?.attributes).to.have.members(READ_BACK)
    }
  })

  it('XKS H-02: health goes on without any key of a store', async () => {
    await bridge.daemon.serve()
    await bridge.daemon.whole()
    bridge.daemon.faults.forgetCalls()
    const xks = new XksClient(bridge.endpoint())
    for (let i = 0; i < 6; i += 1) {
      expect(await xks.health()).to.equal('ACTIVE')
      await pause(HEALTH_MS / 4)
    }
    const used = bridge.daemon.faults.calls().filter((it) => it.function.endsWith('cryptInit'))
    expect(used).to.not.have.length(0)
    const keysOf = (pid: number) => used.filter((it) => it.pid === pid).map(({ key }) => key)
    for (const { pid } of used) expect(new Set(keysOf(pid)).size).to.equal(1) // the canary
  })
})

describe('the table of permitted calls', () => {
  const call = (name: string, members: Partial<RecordedCall> = {}): RecordedCall => ({
    atNs: 0n,
    pid: 1,
    function: name,
    rv: 0,
    us: 1,
    injected: false,
    ...members,
  })

  const FORBIDDEN = {
    'wrapping a key': call('C_WrapKey'),
    'unwrapping on the way in': call('C_UnwrapKey'),
    'bringing a secret key in': call('C_CreateObject', { class: CKO.SECRET_KEY }),
    'creating what says no class': call('C_CreateObject'),
    'trying the value of a secret key': call('C_GetAttributeValue', {
      attributes: [CKA.ID, CKA.VALUE],
      rv: 0x11,
    }),
    'searching by value': call('C_FindObjectsInit', { attributes: [CKA.VALUE] }),
    'generating with a template that leaves SENSITIVE open': call('C_GenerateKey', {
      class: CKO.SECRET_KEY,
      mechanism: CKM.CKM_AES_KEY_GEN,
      attributes: [CKA.TOKEN, CKA.PRIVATE, CKA.EXTRACTABLE],
    }),
    'a copy that says more than CKA_TOKEN': call('C_CopyObject', {
      attributes: [CKA.TOKEN, CKA.EXTRACTABLE],
    }),
    'a copy that says nothing': call('C_CopyObject', { attributes: [] }),
    'a login as security officer': call('C_Login', { user: 0 }),
  }

  for (const [title, forbidden] of Object.entries(FORBIDDEN))
    it(`does not permit ${title}`, () => {
      expect(outside([forbidden])).to.have.length(1)
    })
})

/** One sentence for each call that is not permitted. */
function outside(calls: readonly RecordedCall[]): string[] {
  return calls
    .filter((call) => {
      const permits = Object.hasOwn(PERMITTED, call.function) && PERMITTED[call.function]
      return !permits || !permits(call)
    })
    .map((call) => JSON.stringify({ ...call, atNs: undefined }))
}

function named(calls: readonly RecordedCall[]): Set<string> {
  return new Set(calls.map((call) => call.function))
}

/** Every call of the XKS face and what its administration asks of a token, what fails included. */
async function liveBehindXks(bridge: XksDaemonUnderTest): Promise<void> {
  const text = Buffer.from('secret text')
  await bridge.createKey('key')
  const xks = new XksClient(bridge.endpoint())
  const sealed = await xks.encrypt('key', text)
  await bridge.administer('xks key rotate', { name: `${STORE}/key` })
  expect(await xks.decrypt('key', sealed)).to.deep.equal(text)
  expect((await xks.encrypt('key', text))['ciphertextMetadata']).to.not.equal(
    sealed['ciphertextMetadata'],
  )
  const bad = { ...sealed, authenticationTag: Buffer.alloc(16, 1).toString('base64') }
  expect(await outcomeOf(xks.decrypt('key', bad))).to.equal('InvalidCiphertextException')
  await xks.metadata('key')
  await xks.health()
  const foreign: ForeignKey = { id: 'a1a1', label: 'of another program' }
  visitToken(bridge.daemon.token, 'makeForeignKey', JSON.stringify(foreign))
  await bridge.daemon.cli('xks', 'key', 'adopt', `${STORE}/adopted`, '--label', foreign.label)
  const adopted = await xks.encrypt('adopted', text)
  expect(await xks.decrypt('adopted', adopted)).to.deep.equal(text)
}

/** Every operation, what fails included. */
async function liveALife(daemon: DaemonUnderTest): Promise<void> {
  const ask = <Answer>(operation: string, body: Record<string, unknown> = {}) =>
    callKms<Answer>(daemon.endpoint(), { operation, body })
  const create = async () => {
    const { KeyMetadata } = await ask<{ KeyMetadata: { KeyId: string } }>('CreateKey')
    return KeyMetadata.KeyId
  }
  const KeyId = await create()
  const doomed = await create()
  const Plaintext = Buffer.from('secret text').toString('base64')
  const { CiphertextBlob } = await ask<{ CiphertextBlob: string }>('Encrypt', { KeyId, Plaintext })
  await ask('GenerateDataKey', { KeyId, KeySpec: 'AES_256' })
  await ask('RotateKeyOnDemand', { KeyId })
  await ask('Decrypt', { CiphertextBlob })
  await ask('DescribeKey', { KeyId })
  await ask('ListKeys')
  const damaged = Buffer.from(CiphertextBlob, 'base64')
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1
  const refused = await ask('Decrypt', { CiphertextBlob: damaged.toString('base64') }).catch(
    (error: Error) => error.name,
  )
  expect(refused).to.equal('InvalidCiphertextException')
  await ask('ScheduleKeyDeletion', { KeyId: doomed, PendingWindowInDays: 7 })
  await daemon.cli('key', 'where', KeyId)
  await daemon.cli('blob', 'inspect', CiphertextBlob)
  await daemon.cli('token', 'inspect')
}
