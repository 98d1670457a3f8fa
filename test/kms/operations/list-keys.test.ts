import { expect } from 'chai'
import { ALICE, allowing, caller, expectKmsError, Rig } from '../rig.ts'

describe('ListKeys', () => {
  let rig: Rig
  const arns: string[] = []
  before(async () => {
    rig = await new Rig().start()
    for (let i = 0; i < 7; i++) arns.push((await rig.makeKey()).arn)
    await rig.makeKey({}, { by: { ...ALICE, region: 'us-east-1' } })
    arns.sort()
  })
  after(() => rig.remove())

  it('lists the keys of one account and region, sorted', async () => {
    const { keys, ...rest } = await rig.ask('ListKeys')
    expect(keys.map((key: { keyArn: string }) => key.keyArn)).to.deep.equal(arns)
    expect(keys[0]).to.have.all.keys('keyId', 'keyArn')
    expect(rest).to.deep.equal({ truncated: false })
  })

  for (const limit of [1, 2, 3, 6, 7, 8])
    it(`gives every key once in pages of ${limit}`, async () => {
      const seen: string[] = []
      let marker: string | undefined
      do {
        const page = await rig.ask('ListKeys', { limit, marker })
        expect(page.keys.length).to.be.at.most(limit)
        expect(page.truncated).to.equal(page.nextMarker !== undefined)
        seen.push(...page.keys.map((key: { keyArn: string }) => key.keyArn))
        marker = page.nextMarker
      } while (marker !== undefined)
      expect(seen).to.deep.equal(arns)
    })

  it('refuses markers that are edited, invented, or of another account or region', async () => {
    const { nextMarker } = await rig.ask('ListKeys', { limit: 2 })
    const edited = nextMarker.slice(0, -1) + (nextMarker.endsWith('A') ? 'B' : 'A')
    for (const marker of [edited, 'AAAA', `${nextMarker}=`, '']) {
      await expectKmsError(rig.ask('ListKeys', { marker }), 'InvalidMarkerException', undefined)
    }
    for (const by of [
      { ...ALICE, region: 'us-east-1' },
      caller('a', undefined, { accountId: '999900001111' }),
    ])
      await expectKmsError(
        rig.ask('ListKeys', { marker: nextMarker }, { by }),
        'InvalidMarkerException',
      )
  })

  it('a marker outlives a restart and its key', async () => {
    const { nextMarker, keys } = await rig.ask('ListKeys', { limit: 2 })
    await rig.restart()
    await rig.storage.change((draft) =>
      draft.buryKey({
        arn: keys[1].keyArn,
        keyId: keys[1].keyId,
        accountId: ALICE.accountId,
        region: ALICE.region,
        destroyedAt: 0,
        materialIds: [],
      }),
    )
    const next = await rig.ask('ListKeys', { marker: nextMarker })
    expect(next.keys[0].keyArn).to.equal(arns[2])
  })

  it('needs an identity policy', async () => {
    const by = caller('maker', [allowing('kms:CreateKey')])
    await expectKmsError(
      rig.ask('ListKeys', {}, { by }),
      'AccessDeniedException',
      `User: ${by.arn} is not authorized to perform: kms:ListKeys on resource: * because no identity-based policy allows the kms:ListKeys action`,
    )
  })
})
