import { expect } from 'chai'
import { KmsError } from '../../src/kms/kms-error.ts'
import { OPERATION_NAMES, type OperationName } from '../../src/kms/operation-names.ts'
import { OPERATIONS } from '../../src/kms/operations/index.ts'
import { REQUESTS_PER_SECOND, RequestQuotas } from '../../src/kms/request-quotas.ts'
import { ALICE, expectKmsError, OTHER_ACCOUNT, Rig, TestClock } from './rig.ts'

const TEXT =
  'You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.'

describe('RequestQuotas', () => {
  const clock = new TestClock()
  const ALICE_HERE = { accountId: ALICE.accountId, region: ALICE.region }

  /** How many requests pass until one does not. */
  function passing(
    quotas: RequestQuotas,
    operation: OperationName,
    scope = ALICE_HERE,
    most = 1_000,
  ): number {
    for (let count = 0; count < most; count++) {
      try {
        quotas.take(scope, operation)
      } catch (error) {
        expect(error).to.be.instanceOf(KmsError).and.to.include({
          code: 'ThrottlingException',
          message: TEXT,
        })
        return count
      }
    }
    return most
  }

  it('lets a second of requests through at once, then so many a second', () => {
    const quotas = new RequestQuotas(clock, { burstSeconds: 1 })
    expect(passing(quotas, 'CreateKey')).to.equal(5)
    clock.pass(1000)
    expect(passing(quotas, 'CreateKey')).to.equal(5)
    clock.pass(200)
    expect(passing(quotas, 'CreateKey')).to.equal(1)
    clock.pass(60_000)
    expect(passing(quotas, 'CreateKey'), 'who was quiet saves up one burst').to.equal(5)
  })

  it('averages over the seconds that are set', () => {
    const quotas = new RequestQuotas(clock, { burstSeconds: 60 })
    expect(passing(quotas, 'CreateKey')).to.equal(300)
    clock.pass(1000)
    expect(passing(quotas, 'CreateKey')).to.equal(5)
  })

  it('knows no jumps of the wall clock', () => {
    const quotas = new RequestQuotas(clock, { burstSeconds: 1 })
    passing(quotas, 'CreateKey')
    clock.wall += 1e9
    expect(passing(quotas, 'CreateKey')).to.equal(0)
    clock.wall -= 2e9
    clock.pass(1000)
    expect(passing(quotas, 'CreateKey')).to.equal(5)
  })

  it('counts accounts, regions and operations apart', () => {
    const quotas = new RequestQuotas(clock, { burstSeconds: 1 })
    passing(quotas, 'CreateKey')
    expect(passing(quotas, 'CreateKey', { ...ALICE_HERE, accountId: OTHER_ACCOUNT })).to.equal(5)
    expect(passing(quotas, 'CreateKey', { ...ALICE_HERE, region: 'us-east-1' })).to.equal(5)
    expect(passing(quotas, 'UpdateAlias')).to.equal(5)
  })

  it('cryptography shares one quota', () => {
    const perSecond = { CryptographicOperationsSymmetric: 6 }
    const quotas = new RequestQuotas(clock, { perSecond, burstSeconds: 1 })
    for (const operation of [
      'Encrypt',
      'Decrypt',
      'ReEncrypt',
      'GenerateDataKey',
      'GenerateDataKeyWithoutPlaintext',
      'GenerateRandom',
    ] as const)
      quotas.take(ALICE_HERE, operation)
    expect(passing(quotas, 'Encrypt')).to.equal(0)
    expect(passing(quotas, 'DescribeKey')).to.equal(1_000)
  })

  it('takes a rate below one a second', () => {
    const perSecond = { CreateKey: 0.5 }
    const quotas = new RequestQuotas(clock, { perSecond, burstSeconds: 1 })
    expect(passing(quotas, 'CreateKey')).to.equal(1)
    clock.pass(1000)
    expect(passing(quotas, 'CreateKey')).to.equal(0)
    clock.pass(1000)
    expect(passing(quotas, 'CreateKey')).to.equal(1)
  })

  it('has a quota for every operation that exists', () => {
    const shared = new RequestQuotas(clock, {
      perSecond: Object.fromEntries(Object.keys(REQUESTS_PER_SECOND).map((name) => [name, 1])),
      burstSeconds: 1,
    })
    const unlimited = OPERATION_NAMES.filter((name) => OPERATIONS.get(name)).filter(
      (name) => passing(shared, name, { ...ALICE_HERE, accountId: name }, 3) === 3,
    )
    expect(unlimited).to.deep.equal([])
  })

  it('does not grow without bound with the regions that callers invent', () => {
    const quotas = new RequestQuotas(clock, { burstSeconds: 1 })
    passing(quotas, 'CreateKey')
    for (let i = 0; i < 9_999; i++) quotas.take({ ...ALICE_HERE, region: `r-${i}` }, 'CreateKey')
    expect(passing(quotas, 'CreateKey')).to.equal(0)
    quotas.take({ ...ALICE_HERE, region: 'one-more' }, 'CreateKey')
    expect(passing(quotas, 'CreateKey'), 'the oldest made room').to.equal(5)
  })

  it('stands before the work, after authentication, and can be left out', async () => {
    const rig = await new Rig().start({ requestQuotas: { burstSeconds: 1 } })
    try {
      for (let i = 0; i < 5; i++) await rig.makeKey()
      await expectKmsError(rig.makeKey(), 'ThrottlingException', TEXT)
      expect(rig.custody.countOf('make')).to.equal(5)
      await rig.restart()
      for (let i = 0; i < 6; i++) await rig.makeKey()
    } finally {
      await rig.remove()
    }
  })
})
