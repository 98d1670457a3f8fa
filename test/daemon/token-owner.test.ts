import { expect } from 'chai'
import { judgeOwner, newestLineage } from '../../src/daemon/token-owner.ts'
import type { ListedRecord } from '../../src/token/lane-protocol.ts'

const OURS = { instanceId: 'a', lineage: 7 }

function record(lineage: number, authentic = true): ListedRecord {
  const origin = {
    ...{ keyId: 'k', accountId: '1', region: 'r', keySpec: 's', keyUsage: 'u', origin: 'o' },
    ...{ lineage, createdAt: 0 },
  }
  return { label: 'record', authentic, kind: 'material', origin }
}

describe('token owner', () => {
  it('is this database when instance and lineage agree', () => {
    const token = { owner: { instanceId: 'a', lineage: 3 }, records: [record(7), record(2)] }
    expect(judgeOwner(OURS, token)).deep.equal({ kind: 'ours' })
  })

  it('FM-F33: another instance is refused', () => {
    const verdict = judgeOwner(OURS, { owner: { instanceId: 'b', lineage: 0 }, records: [] })
    expect(verdict.kind).equal('foreign')
  })

  it('FM-F30, ARCH-D11: a record or an owner record of a later token write tells that the database is older', () => {
    const owner = { instanceId: 'a', lineage: 0 }
    expect(judgeOwner(OURS, { owner, records: [record(8)] }).kind).equal('older')
    expect(judgeOwner(OURS, { owner: { ...owner, lineage: 8 }, records: [] }).kind).equal('older')
  })

  it('a forged record makes nothing older', () => {
    const token = { owner: { instanceId: 'a', lineage: 0 }, records: [record(1000, false)] }
    expect(judgeOwner(OURS, token).kind).equal('ours')
    expect(newestLineage(token)).equal(0)
  })

  it('FM-R9: a token without an owner record is not changed', () => {
    expect(judgeOwner(OURS, { owner: undefined, records: [] }).kind).equal('older')
  })
})
