import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { ExternalFacts } from '../../src/crypto/external-facts.ts'
import { EXTERNAL_SCOPE, type Key } from '../../src/kms/key.ts'
import { openPostgresStorage, openStorage } from '../../src/storage/open-storage.ts'
import { StorageError } from '../../src/storage/storage-error.ts'
import type { Storage, XksCredentialRecord, XksStoreRecord } from '../../src/storage/storage.ts'
import { describePostgres } from '../support/postgres.ts'
import { aKey } from './sample-keys.ts'

describe('external key stores in SQLite', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-xks-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  describeStores(() => openStorage({ path: join(directory, 'test.db') }))
})

describePostgres('external key stores in PostgreSQL', (server) => {
  let url: string
  beforeEach(async () => {
    url = await server.createDatabase()
  })

  describeStores(() => openPostgresStorage({ url }))

  it('XKS A-08, ARCH-D12: a removed credential and a disabled key are so in another daemon within a second', async () => {
    const [one, other] = [await openPostgresStorage({ url }), await openPostgresStorage({ url })]
    const key = await one.change((draft) => {
      draft.putXksStore(aStore('a'))
      draft.putXksCredential(aCredential('AAAA', 'a'))
      return draft.putKey(anExternalKey('a', 'k'))
    })
    await until(() => other.snapshot.findXksCredential('AAAA') !== undefined)
    expect(other.snapshot.findXksStoreAt('/a')).to.deep.equal(withoutUndefined(aStore('a')))
    expect(other.snapshot.findExternalKey('a', 'k')).to.include({ state: 'Enabled', arn: key.arn })
    const began = performance.now()
    await one.change((draft) => {
      draft.removeXksCredential('AAAA')
      draft.putKey({ ...key, state: 'Disabled' })
    })
    await until(() => other.snapshot.findXksCredential('AAAA') === undefined)
    expect(other.snapshot.findExternalKey('a', 'k')?.state).to.equal('Disabled')
    expect(performance.now() - began).to.be.lessThan(1_000)
    await Promise.all([one.close(), other.close()])
  })
})

function describeStores(open: () => Promise<Storage>): void {
  let storage: Storage
  beforeEach(async () => {
    storage = await open()
  })
  afterEach(() => storage.close())

  /** What the running storage says, and one that was opened again. */
  async function inBoth(check: (snapshot: Storage['snapshot']) => void): Promise<void> {
    check(storage.snapshot)
    await storage.close()
    storage = await open()
    check(storage.snapshot)
  }

  it('XKS U-10: a store is found by name and by prefix, a credential by id, a key by store and name', async () => {
    const full = { ...aStore('a'), requestsPerSecond: 12.5, regions: ['eu-west-1'], policy: '{}' }
    await storage.change((draft) => {
      draft.putXksStore(full)
      draft.putXksStore({ ...aStore('b'), uriPathPrefix: '', enabled: false })
      draft.putXksCredential(aCredential('AAAA', 'a'))
      draft.putXksCredential(aCredential('BBBB', 'a'))
      draft.putKey(anExternalKey('a', 'k', { kmsKeyArn: 'arn', keyUsage: ['ENCRYPT'] }))
      draft.putKey(anExternalKey('b', 'k', { adopted: true, opensHashedAad: true }))
    })
    await inBoth((snapshot) => {
      expect(snapshot.findXksStore('a')).to.deep.equal(full)
      expect(snapshot.findXksStoreAt('/a')).to.deep.equal(full)
      expect(snapshot.findXksStoreAt('')).to.include({ name: 'b', enabled: false })
      expect(snapshot.findXksStoreAt('/b')).to.equal(undefined)
      expect([...snapshot.allXksStores()]).to.have.lengthOf(2)
      expect(snapshot.findXksCredential('BBBB')).to.deep.equal(aCredential('BBBB', 'a'))
      expect([...snapshot.allXksCredentials()]).to.have.lengthOf(2)
      expect(snapshot.findExternalKey('a', 'k')?.external).to.deep.equal({
        ...facts('a', 'k'),
        kmsKeyArn: 'arn',
        keyUsage: ['ENCRYPT'],
      })
      expect(snapshot.findExternalKey('b', 'k')?.external).to.deep.include({
        adopted: true,
        opensHashedAad: true,
      })
      expect(snapshot.findExternalKey('a', 'other')).to.equal(undefined)
      expect(snapshot.findExternalKey('none', 'k')).to.equal(undefined)
      expect([...snapshot.externalKeysOf('a')]).to.have.lengthOf(1)
    })
  })

  it('XKS Z-05: a pin that is put on or taken off later is kept', async () => {
    const pinOf = (snapshot: Storage['snapshot'], id: string) =>
      snapshot.findExternalKey('a', id)?.external?.kmsKeyArn
    await storage.change((draft) => {
      const one = draft.putKey(anExternalKey('a', 'one'))
      const two = draft.putKey(anExternalKey('a', 'two', { kmsKeyArn: 'arn' }))
      draft.putKey({ ...one, external: { ...facts('a', 'one'), kmsKeyArn: 'arn' } })
      draft.putKey({ ...two, external: facts('a', 'two') })
    })
    await inBoth((snapshot) => {
      expect(pinOf(snapshot, 'one')).to.equal('arn')
      expect(pinOf(snapshot, 'two')).to.equal(undefined)
    })
  })

  it('a store that changes leaves its old prefix', async () => {
    await storage.change((draft) => draft.putXksStore(aStore('a')))
    await storage.change((draft) => {
      draft.putXksStore({ ...aStore('a'), uriPathPrefix: '/new' })
      expect(draft.findXksStoreAt('/a')).to.equal(undefined)
      draft.putXksStore({ ...aStore('b'), uriPathPrefix: '/a' })
    })
    await inBoth((snapshot) => {
      expect(snapshot.findXksStoreAt('/new')?.name).to.equal('a')
      expect(snapshot.findXksStoreAt('/a')?.name).to.equal('b')
    })
  })

  it('XKS U-10: no two stores have one prefix, also in changes that wait together', async () => {
    const outcomes = await Promise.allSettled([
      storage.change((draft) => draft.putXksStore(aStore('a'))),
      storage.change((draft) => draft.putXksStore({ ...aStore('b'), uriPathPrefix: '/a' })),
    ])
    expect(outcomes.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected'])
    expect((outcomes[1] as PromiseRejectedResult).reason).to.be.instanceOf(StorageError)
    expect([...storage.snapshot.allXksStores()]).to.have.lengthOf(1)
  })

  it('a store goes with its credentials, its keys wait', async () => {
    await storage.change((draft) => {
      draft.putXksStore(aStore('a'))
      draft.putXksCredential(aCredential('AAAA', 'a'))
      draft.putKey(anExternalKey('a', 'k'))
      expect(draft.hasExternalKeys('a')).to.equal(true)
    })
    await storage.change((draft) => {
      draft.removeXksStore('a')
      expect(draft.findXksCredential('AAAA')).to.equal(undefined)
    })
    await inBoth((snapshot) => {
      expect(snapshot.findXksStoreAt('/a')).to.equal(undefined)
      expect([...snapshot.allXksCredentials()]).to.deep.equal([])
      expect(snapshot.hasExternalKeys('a')).to.equal(true)
      expect(snapshot.findExternalKey('a', 'k')?.keyId).to.equal('a-k')
    })
  })

  it('a change sees what it and those before it wrote', async () => {
    const seen = await Promise.all([
      storage.change((draft) => {
        draft.putXksStore(aStore('a'))
        draft.putXksCredential(aCredential('AAAA', 'a'))
        draft.putKey(anExternalKey('a', 'k'))
      }),
      storage.change((draft) => {
        const before = draft.findExternalKey('a', 'k')
        if (before) draft.putKey({ ...before, state: 'Disabled' })
        return [draft.findExternalKey('a', 'k')?.state, draft.findXksCredential('AAAA')?.storeName]
      }),
      storage.change((draft) => {
        draft.removeXksCredential('AAAA')
        return [draft.findXksCredential('AAAA'), draft.findXksStore('a')?.name]
      }),
    ])
    expect(seen[1]).to.deep.equal(['Disabled', 'a'])
    expect(seen[2]).to.deep.equal([undefined, 'a'])
    expect(storage.snapshot.findExternalKey('a', 'k')).to.include({ rowVersion: 2 })
  })

  it('external keys are in no account: lists and counts of the KMS API do not meet them', async () => {
    await storage.change((draft) => {
      draft.putKey(aKey(1))
      draft.putKey(anExternalKey('a', 'k'))
    })
    const { snapshot } = storage
    expect(snapshot.keysIn('111122223333', 'r1').map(({ keyId }) => keyId)).to.deep.equal(['k1'])
    expect(snapshot.countKeysIn('111122223333', EXTERNAL_SCOPE.region)).to.equal(0)
    expect([...snapshot.allKeys()]).to.have.lengthOf(2)
  })
}

function aStore(name: string): XksStoreRecord {
  return {
    name,
    uriPathPrefix: `/${name}`,
    regions: [],
    requestsPerSecond: undefined,
    enabled: true,
    policy: undefined,
    createdAt: 7,
  }
}

function aCredential(accessKeyId: string, storeName: string): XksCredentialRecord {
  return { accessKeyId, storeName, sealedSecret: 'v1.x', createdAt: 8 }
}

function facts(storeName: string, externalKeyId: string): ExternalFacts {
  const keyUsage = ['ENCRYPT', 'DECRYPT'] as const
  return { storeName, externalKeyId, keyUsage, adopted: false, opensHashedAad: false }
}

function anExternalKey(store: string, id: string, other: Partial<ExternalFacts> = {}): Key {
  return {
    ...aKey(1),
    arn: `arn:hsm-bridge:xks:::key/${store}-${id}`,
    keyId: `${store}-${id}`,
    ...EXTERNAL_SCOPE,
    origin: 'XKS',
    policy: '',
    external: { ...facts(store, id), ...other },
  }
}

/** As it comes out of the change log: JSON has no undefined. */
function withoutUndefined(value: object): unknown {
  return JSON.parse(JSON.stringify(value))
}

async function until(holds: () => boolean): Promise<void> {
  const giveUp = performance.now() + 5_000
  while (!holds()) {
    if (performance.now() > giveUp) throw new Error('it did not become true in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
