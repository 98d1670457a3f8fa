import { expect } from 'chai'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import { ACCOUNT, allowing, caller, expectKmsError, Rig, statement } from '../rig.ts'

describe('tags', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  before(async () => {
    rig = await new Rig().start()
  })
  beforeEach(async () => {
    key = await rig.makeKey()
  })
  after(() => rig.remove())

  const put = (tags: object[], keyId = key.keyId) => rig.ask('TagResource', { keyId, tags })
  const remove = (...tagKeys: string[]) => rig.ask('UntagResource', { keyId: key.keyId, tagKeys })
  const list = async () => (await rig.ask('ListResourceTags', { keyId: key.keyId })).tags

  it('KMS-20: TagResource replies nothing, adds and overwrites; ListResourceTags sorts by key', async () => {
    expect(await put([tag('b', '1'), tag('a', '1')])).to.equal(undefined)
    expect(await put([tag('c', ''), tag('a', '2')])).to.equal(undefined)
    expect(await rig.ask('ListResourceTags', { keyId: key.keyId })).to.deep.equal({
      tags: [tag('a', '2'), tag('b', '1'), tag('c', '')],
      truncated: false,
    })
  })

  it('UntagResource replies nothing and takes keys that no tag has', async () => {
    await put([tag('a'), tag('b'), tag('B')])
    expect(await remove('b', 'none')).to.equal(undefined)
    expect(await list()).to.deep.equal([tag('B'), tag('a')])
    await remove('a', 'B')
    expect(await list()).to.deep.equal([])
  })

  const refused: [string, object[], string][] = [
    ['one key twice', [tag('a', '1'), tag('a', '2')], 'Duplicate tag keys'],
    ['51 at once', Array.from({ length: 51 }, (_, i) => tag(`k${i}`)), 'Too many tags'],
    ['reserved keys in any case', [tag('AWS:x')], 'Tags beginning with aws: are reserved'],
  ]
  for (const [what, tags, message] of refused)
    it(`KMS-20: TagResource refuses ${what}`, async () => {
      await expectKmsError(put(tags), 'TagException', message)
      expect(await list()).to.deep.equal([])
    })

  it('KMS-20: UntagResource refuses reserved keys', () =>
    expectKmsError(remove('aws:x'), 'TagException', 'Tags beginning with aws: are reserved'))

  it('KMS-20: a key has 50 tags and no more; those that it has can still be overwritten', async () => {
    await put(Array.from({ length: 50 }, (_, i) => tag(`k${i}`)))
    await expectKmsError(put([tag('one more')]), 'TagException', 'Too many tags')
    await put([tag('k7', 'new')])
    await remove('k1')
    await put([tag('one more')])
    expect(await list()).to.have.lengthOf(50)
  })

  it('KMS-60: ListResourceTags gives every tag once, 50 at most', async () => {
    await put(Array.from({ length: 9 }, (_, i) => tag(`k${i}`)))
    const seen: string[] = []
    let marker: string | undefined
    do {
      const page = await rig.ask('ListResourceTags', { keyId: key.keyId, limit: 4, marker })
      expect(page.truncated).to.equal('nextMarker' in page)
      seen.push(...page.tags.map(({ tagKey }: { tagKey: string }) => tagKey))
      if (page.nextMarker) {
        const { keyId } = await rig.makeKey()
        const elsewhere = { keyId, marker: page.nextMarker }
        await expectKmsError(rig.ask('ListResourceTags', elsewhere), 'InvalidMarkerException')
      }
      marker = page.nextMarker
    } while (marker !== undefined)
    expect(seen).to.deep.equal(Array.from({ length: 9 }, (_, i) => `k${i}`))
    await expectKmsError(
      rig.ask('ListResourceTags', { keyId: key.keyId, limit: 51 }),
      'ValidationException',
      "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50",
    )
  })

  it('KMS-59: each operation needs its own permission', async () => {
    const by = caller('reader', [allowing('kms:ListResourceTags')])
    const { keyId } = key
    await rig.ask('ListResourceTags', { keyId }, { by })
    for (const operation of ['TagResource', 'UntagResource'] as const)
      await expectKmsError(
        rig.ask(operation, { keyId, tags: [tag('a')], tagKeys: ['a'] }, { by }),
        'AccessDeniedException',
      )
    const tagger = caller('tagger', [allowing('kms:TagResource')])
    await expectKmsError(
      rig.ask('ListResourceTags', { keyId }, { by: tagger }),
      'AccessDeniedException',
    )
  })

  describe('as conditions', () => {
    const allowed = (Action: string, Condition: object) =>
      caller('user', [statement({ Effect: 'Allow', Action, Resource: '*', Condition })])

    it('aws:RequestTag and aws:TagKeys speak of the tags of the request', async () => {
      const by = allowed('kms:TagResource', {
        StringEquals: { 'aws:RequestTag/Team': 'red' },
        'ForAllValues:StringEquals': { 'aws:TagKeys': ['Team', 'Stage'] },
      })
      const put = (tags: object[]) => rig.ask('TagResource', { keyId: key.keyId, tags }, { by })
      await put([tag('Team', 'red'), tag('Stage', 'test')])
      for (const tags of [
        [tag('Team', 'blue')],
        [tag('Stage', 'test')],
        [tag('Team', 'red'), tag('Owner', 'me')],
      ])
        await expectKmsError(put(tags), 'AccessDeniedException')
    })

    it('aws:TagKeys speaks of the keys that UntagResource names', async () => {
      const by = allowed('kms:UntagResource', {
        'ForAllValues:StringEquals': { 'aws:TagKeys': ['Stage'] },
      })
      const remove = (...tagKeys: string[]) =>
        rig.ask('UntagResource', { keyId: key.keyId, tagKeys }, { by })
      await remove('Stage')
      await expectKmsError(remove('Stage', 'Team'), 'AccessDeniedException')
    })

    it('aws:ResourceTag speaks of the tags of the key, from the moment when they are put', async () => {
      const by = allowed('kms:DescribeKey', { StringEquals: { 'aws:ResourceTag/Team': 'red' } })
      const describeKey = () => rig.ask('DescribeKey', { keyId: key.keyId }, { by })
      await expectKmsError(describeKey(), 'AccessDeniedException')
      await put([tag('Team', 'red')])
      await describeKey()
      await remove('Team')
      await expectKmsError(describeKey(), 'AccessDeniedException')
    })

    it('AT-Z10: two tags that differ in case only both count: one value allows nothing, and either denies', async () => {
      const condition = (family: string) => ({ StringEquals: { [`aws:${family}/team`]: 'red' } })
      const both = [tag('team', 'red'), tag('Team', 'blue')]
      const tagger = allowed('kms:TagResource', condition('RequestTag'))
      const asked = { keyId: key.keyId, tags: both }
      await expectKmsError(rig.ask('TagResource', asked, { by: tagger }), 'AccessDeniedException')
      await put(both)
      const reader = allowed('kms:DescribeKey', condition('ResourceTag'))
      const { keyId } = key
      await expectKmsError(
        rig.ask('DescribeKey', { keyId }, { by: reader }),
        'AccessDeniedException',
      )
      const barred = caller('barred', [
        allowing('kms:*'),
        statement({
          Effect: 'Deny',
          Action: 'kms:*',
          Resource: '*',
          Condition: condition('ResourceTag'),
        }),
      ])
      await expectKmsError(
        rig.ask('DescribeKey', { keyId }, { by: barred }),
        'AccessDeniedException',
      )
    })
  })

  it('leaves a trail of key, tags and response', async () => {
    const trail = newTrail()
    await rig.ask('TagResource', { keyId: key.keyId, tags: [tag('a')] }, { trail })
    expect(trail).to.deep.include({
      resources: [key.arn],
      parameters: { keyId: key.keyId, tags: [tag('a')] },
      response: { keyId: key.arn },
    })
    expect(key.arn).to.contain(ACCOUNT)
  })
})

function tag(tagKey: string, tagValue = 'v') {
  return { tagKey, tagValue }
}
