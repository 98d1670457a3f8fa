import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { HostSeal } from '../../src/daemon/host-seal.ts'
import { addXksCredential } from '../../src/daemon/xks-credential.ts'
import { spendEncryptions, StoredXksDirectory } from '../../src/daemon/xks-directory.ts'
import { applyDeclaredStores, makeXksStore, type XksStoreWish } from '../../src/daemon/xks-store.ts'
import { makeExternalKey, setExternalKeyState } from '../../src/kms/external-keys.ts'
import { systemClock } from '../../src/kms/clock.ts'
import type { Key } from '../../src/kms/key.ts'
import { KmsError, type KmsErrorCode } from '../../src/kms/kms-error.ts'
import { rotateExternalKey } from '../../src/kms/rotation.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import type { ExternalKey } from '../../src/xks/external-key.ts'
import type { ExternalKeyStore } from '../../src/xks/external-key-store.ts'
import { XksError } from '../../src/xks/xks-error.ts'
import { FakeCustody } from '../support/fake-custody.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const ID = 'ABCDEFGHIJKLMNOPQRST'
const SECRET = 'x'.repeat(43)
const LOOKUPS = 200_000

describe('StoredXksDirectory', () => {
  const directory = temporaryDirectory()
  const seal = new HostSeal(randomBytes(32))
  const custody = new FakeCustody()
  const log: { message: string; facts: object }[] = []
  const logger = {
    error: (message: string, facts: object = {}) => void log.push({ message, facts }),
  }
  let databases = 0
  let storage: Storage
  let xks: StoredXksDirectory

  beforeEach(async () => {
    log.length = 0
    storage = await openStorage({ path: join(directory, `${databases++}.db`) })
    xks = new StoredXksDirectory(storage, seal, logger)
  })
  afterEach(() => storage.close())

  const context = () => ({ storage, custody, clock: systemClock, notify: () => undefined })
  const credential = { accessKeyId: ID, secretAccessKey: new Sensitive(SECRET) }
  const makeKey = (): Promise<Key> =>
    makeExternalKey(context(), {
      storeName: 'payments',
      externalKeyId: 'k',
      keyUsage: ['ENCRYPT', 'DECRYPT'],
      adopted: false,
      opensHashedAad: false,
    })
  const store = (): ExternalKeyStore => xks.findStore('/payments') ?? expect.fail('no store')
  const key = (): ExternalKey => store().findKey('k') ?? expect.fail('no key')

  it('knows nothing of what is not there', async () => {
    expect(xks.findStore('/payments')).to.equal(undefined)
    expect(xks.findCredential(ID)).to.equal(undefined)
    await makeXksStore(storage, aStore())
    for (const id of ['k', 'constructor', '__proto__'])
      expect(store().findKey(id)).to.equal(undefined)
  })

  it('shows a store, its credential and its key as storage has them', async () => {
    await makeXksStore(storage, { ...aStore(), regions: ['eu-west-1'], requestsPerSecond: 5 })
    await addXksCredential({ storage, seal }, 'payments', credential)
    const { currentMaterialId } = await makeKey()
    expect(store()).to.deep.include({
      name: 'payments',
      regions: ['eu-west-1'],
      requestsPerSecond: 5,
    })
    expect(store().policy).to.equal(undefined)
    expect(xks.findCredential(ID)).to.include({ accessKeyId: ID, storeName: 'payments' })
    expect(xks.findCredential(ID)?.secretAccessKey.reveal()).to.equal(SECRET)
    expect(key()).to.include({ externalKeyId: 'k', enabled: true, adopted: false })
    expect(key().current.materialId).to.equal(currentMaterialId)
    expect(key().materials).to.deep.equal([key().current])
  })

  it('ARCH-D12: each change holds with the next answer', async () => {
    await makeXksStore(storage, aStore())
    await addXksCredential({ storage, seal }, 'payments', credential)
    const made = await makeKey()
    const before = key()
    const disabled = await setExternalKeyState(context(), made.arn, 'Disabled')
    expect([before.enabled, key().enabled]).to.deep.equal([true, false])
    await rotateExternalKey(context(), disabled)
    expect(key().materials).to.have.lengthOf(2)
    expect(key().materials[0]).to.equal(before.current) // the same object: what is cached by it stays
    expect(key().current).to.equal(key().materials[1])
    await applyDeclaredStores(storage, [{ ...aStore(), enabled: false }])
    expect(store().enabled).to.equal(false)
    await storage.change((draft) => draft.removeXksCredential(ID))
    expect(xks.findCredential(ID)).to.equal(undefined)
  })

  it('XKS A-04: one id is one secret, whichever store it is for', async () => {
    await makeXksStore(storage, aStore())
    await makeXksStore(storage, { ...aStore(), name: 'other', uriPathPrefix: '/other' })
    await addXksCredential({ storage, seal }, 'payments', credential)
    for (const name of ['payments', 'other']) {
      const refused = await addXksCredential({ storage, seal }, name, credential).catch(
        (error: Error) => error.message,
      )
      expect(refused).to.equal(`${ID} is a credential of the store payments already`)
    }
  })

  it('XKS A-07: several credentials of a store are valid at once', async () => {
    await makeXksStore(storage, aStore())
    const ids = ['A', 'B', 'C'].map((letter) => letter.repeat(20))
    for (const accessKeyId of ids)
      await addXksCredential({ storage, seal }, 'payments', { ...credential, accessKeyId })
    for (const id of ids) expect(xks.findCredential(id)?.storeName).to.equal('payments')
  })

  it('XKS Z-06: a stored policy that is not understood denies everything, and the log says so once', async () => {
    await makeXksStore(storage, aStore())
    await storage.change((draft) =>
      draft.putXksStore({ ...aStore(), policy: '{"Version":"2099"}', createdAt: 1 }),
    )
    const { policy } = store()
    expect(store().policy).to.equal(policy)
    const principal = { arn: 'arn:aws:iam::111122223333:root', accountId: '111122223333' }
    const question = { principal, action: 'xks:Encrypt', resource: '*', context: new Map() }
    expect(policy?.decide(question)).to.deep.equal({ allows: [] })
    expect(log).to.have.lengthOf(1)
    expect(log[0]).to.deep.nested.include({ 'facts.store': 'payments' })
  })

  it('does not take a policy that it does not understand', async () => {
    const wish = { ...aStore(), policy: '{"Statement":[{"Effect":"Perhaps"}]}' }
    const refused = await makeXksStore(storage, wish).catch((error: Error) => error.name)
    expect(refused).to.equal('PolicyError')
    expect(xks.findStore('/payments')).to.equal(undefined)
  })

  it('a secret that this host key does not open is no credential, and the log says so once', async () => {
    await makeXksStore(storage, aStore())
    const stranger = new HostSeal(randomBytes(32))
    await addXksCredential({ storage, seal: stranger }, 'payments', credential)
    expect(xks.findCredential(ID)).to.equal(undefined)
    expect(xks.findCredential(ID)).to.equal(undefined)
    expect(log).to.have.lengthOf(1)
    expect(JSON.stringify(log)).not.to.include(SECRET)
  })

  it('answers with the same objects while nothing changes, in a microsecond or so', async () => {
    await makeXksStore(storage, aStore())
    await addXksCredential({ storage, seal }, 'payments', credential)
    await makeKey()
    const [sameStore, sameKey, sameCredential] = [store(), key(), xks.findCredential(ID)]
    const began = performance.now()
    for (let i = 0; i < LOOKUPS; i++) {
      const found = xks.findStore('/payments')
      if (found !== sameStore || found.findKey('k') !== sameKey) expect.fail('another object')
      if (xks.findCredential(ID) !== sameCredential) expect.fail('another credential')
    }
    const microseconds = ((performance.now() - began) * 1000) / LOOKUPS
    expect(microseconds).to.be.lessThan(20) // measured: below one
  })

  describe('spending encryptions (ARCH-D7)', () => {
    const spendWith = (spend: () => Promise<void> | undefined) =>
      spendEncryptions(storage, { spend })(store(), key())
    beforeEach(async () => {
      await makeXksStore(storage, aStore())
      await makeKey()
    })

    it('is asked of the current material, and costs no wait when the budget has room', () => {
      const asked: string[] = []
      const spend = spendEncryptions(storage, {
        spend: ({ material }) => void asked.push(material.materialId),
      })
      expect(spend(store(), key())).to.equal(undefined)
      expect(asked).to.deep.equal([key().current.materialId])
    })

    const REFUSALS: readonly [KmsErrorCode, string][] = [
      ['KMSInvalidStateException', 'InvalidStateException'],
      ['DependencyTimeoutException', 'DependencyTimeoutException'],
      ['KMSInternalException', 'InternalException'],
    ]
    for (const [code, errorName] of REFUSALS)
      it(`XKS X-01: ${code} reads ${errorName}, thrown at once or later`, async () => {
        const error = new KmsError(code, 'of no concern')
        const later = await spendWith(() => Promise.reject(error))?.catch(
          (thrown: unknown) => thrown,
        )
        expect(later).to.be.instanceOf(XksError).and.include({ errorName })
        const atOnce = () =>
          spendWith(() => {
            throw error
          })
        expect(atOnce).to.throw(XksError).and.include({ errorName })
      })
  })
})

function aStore(): XksStoreWish {
  return {
    name: 'payments',
    uriPathPrefix: '/payments',
    regions: [],
    requestsPerSecond: undefined,
    enabled: true,
    policy: undefined,
  }
}
