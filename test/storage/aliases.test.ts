import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Alias, newAlias } from '../../src/kms/alias.ts'
import type { Key } from '../../src/kms/key.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'

const [ONE, TWO] = [aKey('one'), aKey('two')]

describe('aliases in storage', () => {
  let directory: string
  let storage: Storage
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-aliases-'))
    storage = await openStorage({ path: join(directory, 'test.db') })
    await storage.change((draft) => {
      draft.putKey(ONE)
      draft.putKey(TWO)
    })
  })
  afterEach(async () => {
    await storage.close()
    rmSync(directory, { recursive: true })
  })

  /** What the running storage says, and one that was opened again. */
  async function inBoth(check: (snapshot: Storage['snapshot']) => void): Promise<void> {
    check(storage.snapshot)
    await storage.close()
    storage = await openStorage({ path: join(directory, 'test.db') })
    check(storage.snapshot)
  }

  const put = (...aliases: Alias[]) =>
    storage.change((draft) => {
      for (const alias of aliases) draft.putAlias(alias)
    })
  const names = (aliases: readonly Alias[]) => aliases.map(({ aliasName }) => aliasName)

  it('ARCH-D12: are found by ARN, by key, and by account and region, sorted by name', async () => {
    const [c, a, b] = [anAlias('c', ONE), anAlias('a', TWO), anAlias('b', ONE)]
    await put(c, a, b)
    await inBoth((snapshot) => {
      expect(snapshot.findAlias(b.arn)).to.deep.equal(b)
      expect(snapshot.aliasesOf(ONE.arn)).to.deep.equal([b, c])
      expect(snapshot.aliasesOf('none')).to.deep.equal([])
      expect(snapshot.aliasesIn(ONE.accountId, ONE.region)).to.deep.equal([a, b, c])
      expect(snapshot.aliasesIn(ONE.accountId, 'elsewhere')).to.deep.equal([])
    })
  })

  it('move and go, and the lists with them', async () => {
    const alias = anAlias('a', ONE)
    await put(alias, anAlias('b', ONE))
    expect(names(storage.snapshot.aliasesIn(ONE.accountId, ONE.region))).to.have.lengthOf(2)
    await put({ ...alias, targetKeyArn: TWO.arn, lastUpdatedAt: 9 })
    await storage.change((draft) => draft.removeAlias(anAlias('b', ONE).arn))
    await inBoth((snapshot) => {
      expect(snapshot.aliasesOf(ONE.arn)).to.deep.equal([])
      expect(snapshot.aliasesOf(TWO.arn)).to.deep.equal([
        { ...alias, targetKeyArn: TWO.arn, lastUpdatedAt: 9 },
      ])
      expect(names(snapshot.aliasesIn(ONE.accountId, ONE.region))).to.deep.equal(['alias/a'])
    })
  })

  it('are buried with their key', async () => {
    await put(anAlias('a', ONE), anAlias('b', ONE), anAlias('c', TWO))
    const { arn, accountId, region, keyId } = ONE
    await storage.change((draft) => {
      draft.buryKey({ arn, accountId, region, keyId, destroyedAt: 1, materialIds: [] })
      expect(draft.aliasesOf(arn)).to.deep.equal([])
      expect(draft.findAlias(anAlias('a', ONE).arn)).to.equal(undefined)
      draft.putAlias(anAlias('a', TWO)) // its name is free in the same change
    })
    await inBoth((snapshot) =>
      expect(names(snapshot.aliasesIn(accountId, region))).to.deep.equal(['alias/a', 'alias/c']),
    )
    expect(await storage.checkIntegrity()).to.deep.equal([])
  })

  it('a change sees what it and those before it wrote', async () => {
    const alias = anAlias('a', ONE)
    const seen = await Promise.all([
      storage.change((draft) => draft.putAlias(alias)),
      storage.change((draft) => {
        draft.putAlias(anAlias('b', ONE))
        const before = names(draft.aliasesOf(ONE.arn))
        draft.putAlias({ ...alias, targetKeyArn: TWO.arn })
        return [before, names(draft.aliasesOf(ONE.arn)), names(draft.aliasesOf(TWO.arn))]
      }),
      storage.change((draft) => {
        draft.removeAlias(alias.arn)
        return [names(draft.aliasesOf(TWO.arn)), draft.findAlias(alias.arn)]
      }),
    ])
    expect(seen[1]).to.deep.equal([['alias/a', 'alias/b'], ['alias/b'], ['alias/a']])
    expect(seen[2]).to.deep.equal([[], undefined])
    expect(names(storage.snapshot.aliasesOf(ONE.arn))).to.deep.equal(['alias/b'])
  })

  it('keys of an account and region are counted', async () => {
    const count = () => storage.snapshot.countKeysIn(ONE.accountId, ONE.region)
    expect(count()).to.equal(2)
    const { arn, accountId, region, keyId } = ONE
    await storage.change((draft) =>
      draft.buryKey({ arn, accountId, region, keyId, destroyedAt: 1, materialIds: [] }),
    )
    expect([count(), storage.snapshot.countKeysIn(accountId, 'elsewhere')]).to.deep.equal([1, 0])
  })
})

function anAlias(name: string, key: Key): Alias {
  return newAlias(`alias/${name}`, key, 5)
}

function aKey(keyId: string): Key {
  return {
    arn: `arn:aws:kms:r1:111122223333:key/${keyId}`,
    keyId,
    accountId: '111122223333',
    region: 'r1',
    description: '',
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
    state: 'Enabled',
    createdAt: 1,
    deletionAt: undefined,
    policy: '{}',
    tags: [],
    currentMaterialId: 'm',
    onDemandRotations: 0,
    rotationSchedule: undefined,
    rowVersion: 0,
  }
}
