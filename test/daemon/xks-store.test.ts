import { join } from 'node:path'
import { expect } from 'chai'
import {
  applyDeclaredStores,
  deleteXksStore,
  makeXksStore,
  type XksStoreWish,
} from '../../src/daemon/xks-store.ts'
import { openPostgresStorage, openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { describePostgres } from '../support/postgres.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('declared stores in SQLite', () => {
  const directory = temporaryDirectory()
  let databases = 0
  let path: string
  beforeEach(() => {
    path = join(directory, `${databases++}.db`)
  })
  describeDeclared(() => openStorage({ path }))
})

describePostgres('declared stores in PostgreSQL', (server) => {
  let url: string
  beforeEach(async () => {
    url = await server.createDatabase()
  })
  describeDeclared(() => openPostgresStorage({ url }))
})

function describeDeclared(open: () => Promise<Storage>): void {
  let storage: Storage
  beforeEach(async () => {
    storage = await open()
  })
  afterEach(() => storage.close())

  /** What the running storage says, and one that was opened again. */
  async function prefixes(): Promise<Record<string, string>> {
    const names = () =>
      Object.fromEntries(
        [...storage.snapshot.allXksStores()].map(({ name, uriPathPrefix }) => [
          name,
          uriPathPrefix,
        ]),
      )
    const before = names()
    for (const [name, prefix] of Object.entries(before))
      expect(storage.snapshot.findXksStoreAt(prefix)?.name).to.equal(name)
    await storage.close()
    storage = await open()
    expect(names()).to.deep.equal(before)
    return before
  }

  const MOVES: readonly [string, Record<string, string>][] = [
    ['two swap', { a: '/b', b: '/a', c: '/c' }],
    ['three go round', { a: '/b', b: '/c', c: '/a' }],
    ['each moves up into the place of the next', { a: '/b', b: '/c', c: '/d' }],
    ['each moves down into the place of the one before', { a: '/new', b: '/a', c: '/b' }],
    ['a new one takes the place of one that moves', { new: '/a', a: '/new' }],
    ['the empty prefix changes hands', { a: '', b: '/a', c: '/b' }],
  ]
  for (const [title, wanted] of MOVES)
    it(`XKS U-10: prefixes are compared at the end of the change: ${title}`, async () => {
      await applyDeclaredStores(storage, wishes({ a: '/a', b: '/b', c: '/c' }))
      await applyDeclaredStores(storage, wishes(wanted))
      expect(await prefixes()).to.include(wanted)
    })

  it('XKS U-10: takes no prefix of a store that is not declared, and then changes nothing', async () => {
    await makeXksStore(storage, aWish('stays', '/stays'))
    await applyDeclaredStores(storage, wishes({ a: '/a', b: '/b' }))
    const refused = await applyDeclaredStores(storage, wishes({ a: '/b', b: '/stays' })).catch(
      (error: Error) => error.message,
    )
    expect(refused).to.equal(`the URI path prefix '/stays' belongs to the store stays`)
    expect(await prefixes()).to.deep.equal({ stays: '/stays', a: '/a', b: '/b' })
  })

  it('a store that moves keeps its date, and one that stays is not written', async () => {
    await applyDeclaredStores(storage, wishes({ a: '/a', b: '/b', c: '/c' }))
    const { snapshot } = storage
    const [a, c] = [snapshot.findXksStore('a'), snapshot.findXksStore('c')]
    const report = await applyDeclaredStores(
      storage,
      wishes({ a: '/b', b: '/a', c: '/c', d: '/d' }),
    )
    expect(report).to.deep.equal({ made: ['d'], changed: ['a', 'b'] })
    expect(snapshot.findXksStore('a')).to.deep.equal({ ...a, uriPathPrefix: '/b' })
    expect(snapshot.findXksStore('c')).to.equal(c)
  })

  it('FM-F30: what differs in nothing asks for no change, so it is taken while storage is read-only', async () => {
    const same = wishes({ a: '/a' })
    await applyDeclaredStores(storage, same)
    storage.setReadOnly('older than the token')
    const nothing = { made: [], changed: [] }
    expect(await applyDeclaredStores(storage, same)).to.deep.equal(nothing)
    expect(await applyDeclaredStores(storage, [])).to.deep.equal(nothing)
    const refused = await applyDeclaredStores(storage, wishes({ a: '/other' })).catch(
      (error: Error) => error.message,
    )
    expect(refused).to.equal('older than the token')
    storage.setReadOnly(undefined)
  })

  it('the prefix of a deleted store is free', async () => {
    await applyDeclaredStores(storage, wishes({ a: '/a' }))
    await deleteXksStore(storage, 'a')
    await applyDeclaredStores(storage, wishes({ b: '/a' }))
    expect(await prefixes()).to.deep.equal({ b: '/a' })
  })
}

function wishes(prefixes: Record<string, string>): XksStoreWish[] {
  return Object.entries(prefixes).map(([name, prefix]) => aWish(name, prefix))
}

function aWish(name: string, uriPathPrefix: string): XksStoreWish {
  const rest = { regions: [], requestsPerSecond: undefined, enabled: true, policy: undefined }
  return { name, uriPathPrefix, ...rest }
}
