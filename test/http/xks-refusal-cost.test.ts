import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { HostSeal } from '../../src/daemon/host-seal.ts'
import { addXksCredential } from '../../src/daemon/xks-credential.ts'
import { StoredXksDirectory } from '../../src/daemon/xks-directory.ts'
import { makeXksStore } from '../../src/daemon/xks-store.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { temporaryDirectory } from '../daemon/temporary-directory.ts'
import { countCryptoCalls } from '../support/crypto-calls.ts'
import { type CountedSnapshot, countReads } from '../support/counted-snapshot.ts'
import {
  accessKeyIdOf,
  REGION,
  STORES,
  secretOf,
  targetOf,
  XksFaceUnderTest,
} from './xks-face-under-test.ts'

/** What a refusal costs, counted in the process that serves: hashes, HMACs, keys made, comparisons, and reads of storage. */
describe('what a refused signature costs the XKS face', () => {
  const directory = temporaryDirectory()
  const seal = new HostSeal(randomBytes(32))
  let storage: Storage
  let counted: CountedSnapshot
  let face: XksFaceUnderTest

  beforeEach(async () => {
    storage = await openStorage({ path: join(directory, `${randomBytes(8).toString('hex')}.db`) })
    for (const name of ['a', 'ab'] as const) {
      const regions = [REGION]
      const wish = { name, uriPathPrefix: STORES[name], regions, enabled: true }
      await makeXksStore(storage, { ...wish, requestsPerSecond: undefined, policy: undefined })
      const secretAccessKey = new Sensitive(secretOf(name))
      await addXksCredential({ storage, seal }, name, {
        accessKeyId: accessKeyIdOf(name),
        secretAccessKey,
      })
    }
    counted = countReads(storage)
    const stored = new StoredXksDirectory(counted.storage, seal, { error: () => undefined })
    face = await new XksFaceUnderTest({ directory: stored }).start()
  })
  afterEach(async () => {
    await face.stop()
    await storage.close()
  })

  const target = targetOf('encrypt')
  const digitAt = (at: number) => (head: string) =>
    head.replace(/Signature=([0-9a-f]{64})/, (_, right: string) => {
      const other = right[at] === '0' ? '1' : '0'
      return `Signature=${right.slice(0, at)}${other}${right.slice(at + 1)}`
    })
  const refusals = {
    'the first digit wrong': () => face.sign(target, {}, digitAt(0)),
    'the last digit wrong': () => face.sign(target, {}, digitAt(63)),
    'every digit wrong': () => face.sign(target, { secret: 'wrong'.padEnd(43, '0') }),
    'an access key that nobody has': () => face.sign(target, { accessKeyId: 'A'.repeat(22) }),
    'the access key of another store': () =>
      face.sign(target, { accessKeyId: accessKeyIdOf('ab'), secret: secretOf('ab') }),
  }

  async function costOf(bytes: Buffer, status: number) {
    counted.reads.length = 0
    let answered = 0
    const calls = await countCryptoCalls(async () => {
      answered = (await face.raw(bytes)).status
    })
    expect(answered).to.equal(status)
    return { calls, reads: counted.reads.toSorted() }
  }

  /** Secrets are unsealed when they are first looked up: once per credential and process. */
  async function unsealed(): Promise<void> {
    for (const name of ['a', 'ab'] as const)
      await face.raw(face.sign(target, { accessKeyId: accessKeyIdOf(name), secret: 'wrong' }))
  }

  for (const warm of [false, true])
    it(`XKS A-16, AT-S27: is the same for each, with ${warm ? 'a' : 'no'} signing key kept`, async () => {
      await unsealed()
      if (warm) expect((await face.call(target)).status).to.equal(200)
      const costs = []
      for (const [what, sign] of Object.entries(refusals))
        costs.push({ what, ...(await costOf(sign(), 401)) })
      const [{ what: _, ...first } = expect.fail('none')] = costs
      expect(first.calls).to.include({ hash: 4, createHmac: 4, timingSafeEqual: 1 })
      expect(first.reads).to.deep.equal(['findXksCredential', 'findXksStoreAt'])
      for (const { what, ...cost } of costs) expect(cost, what).to.deep.equal(first)
    })

  it('XKS A-16: is not that of a good one, so that the count counts', async () => {
    await unsealed()
    await face.call(target)
    const good = await costOf(face.sign(target, { body: Buffer.from('{"a":1}') }), 200)
    expect(good.calls)
      .to.include({ hash: 4, timingSafeEqual: 1 })
      .and.not.to.have.property('createHmac')
  })
})
