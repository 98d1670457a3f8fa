import { expect } from 'chai'
import { createKms } from '../../src/kms/create-kms.ts'
import type { ChangeOptions, KeyDraft, KeyStorage } from '../../src/kms/key-storage.ts'
import { TokenWriteLockLost } from '../../src/kms/token-write-lock.ts'
import { expectKmsError, Rig } from './rig.ts'

describe('the right to write to the token', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await new Rig().start()
  })
  afterEach(() => rig.remove())

  const restOn = (storage: KeyStorage): void => {
    rig.kms = createKms({ storage, custody: rig.custody, clock: rig.clock })
  }

  it('FM-F32: who lost it in the middle commits nothing, and takes back what it made', async () => {
    restOn(losing(rig.storage, 'before the commit'))
    await expectKmsError(rig.makeKey(), 'DependencyTimeoutException')
    expect(rig.custody.calls).to.deep.equal(['make', 'destroy'])
    expect(rig.custody.size).to.equal(0)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
    expect([...rig.storage.snapshot.allKeys()]).to.deep.equal([])
  })

  it('FM-F47: what was committed although nobody heard of it is left alone', async () => {
    restOn(losing(rig.storage, 'after the commit'))
    await expectKmsError(rig.makeKey(), 'DependencyTimeoutException')
    expect(rig.custody.calls).to.deep.equal(['make'])
    const [key] = [...rig.storage.snapshot.allKeys()]
    expect(key && rig.custody.has(key.currentMaterialId)).to.equal(true)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
  })

  it('FM-F28: a rotation that another daemon did meanwhile makes nothing', async () => {
    const { keyId, arn } = await rig.makeKey()
    for (let i = 0; i < 24; i++) await rig.ask('RotateKeyOnDemand', { keyId })
    const made = rig.custody.countOf('make')
    const storage = meanwhile(rig.storage, () =>
      rig.storage.change((draft) => {
        const key = draft.findKey(arn)
        if (key) draft.putKey({ ...key, onDemandRotations: 25 })
      }),
    )
    restOn(storage)
    await expectKmsError(rig.ask('RotateKeyOnDemand', { keyId }), 'LimitExceededException')
    expect(rig.custody.countOf('make')).to.equal(made)
    expect(rig.storage.snapshot.intents()).to.deep.equal([])
  })
})

/** A storage whose first commit under the lock is lost. */
function losing(storage: KeyStorage, when: 'before the commit' | 'after the commit'): KeyStorage {
  let lost = false
  return over(storage, {
    async change<T>(work: (draft: KeyDraft) => T, options?: ChangeOptions): Promise<T> {
      const loses = options?.lock !== undefined && !lost
      lost ||= loses
      if (!loses) return storage.change(work, options)
      if (when === 'after the commit') await storage.change(work, options)
      throw new TokenWriteLockLost()
    },
  })
}

/** A storage in which somebody does something before the lock is had. */
function meanwhile(storage: KeyStorage, work: () => Promise<void>): KeyStorage {
  return over(storage, {
    async withTokenWriteLock(inside) {
      await work()
      return storage.withTokenWriteLock(inside)
    },
  })
}

function over(storage: KeyStorage, methods: Partial<KeyStorage>): KeyStorage {
  return {
    get snapshot() {
      return storage.snapshot
    },
    get readOnlyReason() {
      return storage.readOnlyReason
    },
    change: (work, options) => storage.change(work, options),
    withTokenWriteLock: (work) => storage.withTokenWriteLock(work),
    ...methods,
  }
}
