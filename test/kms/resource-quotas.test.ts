import { expect } from 'chai'
import { resourceQuotas } from '../../src/kms/resource-quotas.ts'
import { ALICE, expectKmsError, Rig } from './rig.ts'

describe('resource quotas', () => {
  let rig: Rig
  before(async () => {
    const quotas = { keys: 3, aliasesPerKey: 2, tagsPerKey: 2 }
    rig = await new Rig().start({ resourceQuotas: quotas })
  })
  after(() => rig.remove())

  it("are AWS's unless they are set", () => {
    const aws = { keys: 100_000, aliasesPerKey: 50, tagsPerKey: 50 }
    expect(resourceQuotas()).to.deep.equal(aws)
    expect(resourceQuotas({ keys: 7 })).to.deep.equal({ ...aws, keys: 7 })
  })

  it('count the keys of one account and region in every state, before the token makes another', async () => {
    const keys = [await rig.makeKey(), await rig.makeKey(), await rig.makeKey()]
    await rig.ask('ScheduleKeyDeletion', { keyId: keys[0]?.arn })
    const made = rig.custody.countOf('make')
    await expectKmsError(
      rig.makeKey(),
      'LimitExceededException',
      'Key quota for this account in this region is 3 but the current usage is 3.',
    )
    expect(rig.custody.countOf('make')).to.equal(made)
    await rig.makeKey({}, { by: { ...ALICE, region: 'us-east-1' } })
  })

  it('count the aliases and the tags of one key', async () => {
    const by = { ...ALICE, region: 'eu-west-2' }
    const { keyId } = await rig.makeKey({}, { by })
    for (const aliasName of ['alias/a', 'alias/b'])
      await rig.ask('CreateAlias', { aliasName, targetKeyId: keyId }, { by })
    await expectKmsError(
      rig.ask('CreateAlias', { aliasName: 'alias/c', targetKeyId: keyId }, { by }),
      'LimitExceededException',
      'Aliases per key quota for this account in this region is 2, current usage is 2.',
    )
    const tags = ['a', 'b', 'c'].map((tagKey) => ({ tagKey, tagValue: '' }))
    await expectKmsError(rig.makeKey({ tags }, { by }), 'TagException', 'Too many tags')
    await rig.ask('TagResource', { keyId, tags: tags.slice(0, 2) }, { by })
    await expectKmsError(
      rig.ask('TagResource', { keyId, tags: tags.slice(2) }, { by }),
      'TagException',
      'Too many tags',
    )
  })
})
