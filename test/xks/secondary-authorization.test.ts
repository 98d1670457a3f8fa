import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { compilePolicy } from '../../src/policy/compile-policy.ts'
import type { CompiledPolicy } from '../../src/policy/compiled-policy.ts'
import { ALICE, decryptOf, ENCRYPT, KMS_KEY, METADATA, refusal, XksRig } from './rig.ts'

const ALLOW = { Effect: 'Allow', Principal: '*', Action: 'xks:*', Resource: '*' }
const OTHER_KEY = KMS_KEY.replace('123456789012', '444455556666')

describe('secondary authorization', () => {
  let rig: XksRig
  beforeEach(() => {
    rig = new XksRig()
  })
  const encrypt = (metadata: object = {}) =>
    rig.perform('Encrypt', { ...ENCRYPT, requestMetadata: { ...METADATA, ...metadata } })
  const denied = (work: Promise<unknown>) => refusal(work, 403, 'AccessDeniedException')

  describe('without a policy', () => {
    for (const [operation, kmsOperations] of [
      ['GetKeyMetadata', ['CreateKey', 'DescribeKey']],
      ['Encrypt', ['Encrypt', 'GenerateDataKey', 'GenerateDataKeyWithoutPlaintext', 'ReEncrypt']],
      ['Decrypt', ['Decrypt', 'ReEncrypt']],
    ] as const)
      for (const kmsOperation of [...kmsOperations, 'BulkEncrypt'])
        it(`XKS Z-07: permits ${operation} for ${kmsOperation}`, async () => {
          const body = decryptOf(await rig.encrypt())
          const requestMetadata = { ...METADATA, kmsOperation }
          await rig.perform(operation, { ...ENCRYPT, ...body, requestMetadata })
          expect(rig.trail.decision).to.equal('allowed: no policy')
        })
  })

  describe('with a policy', () => {
    it('XKS Z-02, XKS Z-03: nothing is permitted that no statement allows, and the trail says so', async () => {
      rig.setPolicy({ ...ALLOW, Action: 'xks:Decrypt' })
      const error = await denied(encrypt())
      expect(rig.trail.decision).to.equal('denied: policy of shop: no statement allows it')
      expect(error.message).to.contain('xks:Encrypt')
      expect(rig.custody.calls).to.deep.equal([])
    })

    it('XKS Z-03: the trail names the statement that allowed', async () => {
      rig.setPolicy({ ...ALLOW, Action: 'xks:Decrypt' }, { ...ALLOW, Sid: 'Encrypters' })
      await encrypt()
      expect(rig.trail.decision).to.equal(
        'allowed: Statement[1] (Encrypters) of the policy of shop',
      )
    })

    it('XKS Z-03: a deny wins over every allow, and trail and message name it', async () => {
      rig.setPolicy(ALLOW, {
        ...ALLOW,
        Effect: 'Deny',
        Sid: 'Not Alice \u00e9',
        Principal: { AWS: ALICE },
      })
      const error = await denied(encrypt())
      expect(rig.trail.decision).to.equal(
        'denied: policy of shop: Statement[1] (Not Alice \u00e9) denies it',
      )
      expect(error.message).to.contain('Statement[1] (Not Alice ?)')
    })

    const conditions: [operator: string, key: string, value: string, metadata: object][] = [
      ['StringEquals', 'xks:kmsOperation', 'GenerateDataKey', { kmsOperation: 'GenerateDataKey' }],
      ['ArnLike', 'xks:kmsKeyArn', 'arn:aws:kms:*:444455556666:key/?*', { kmsKeyArn: OTHER_KEY }],
      ['StringEquals', 'xks:kmsKeyArn', OTHER_KEY, { kmsKeyArn: OTHER_KEY }],
      ['StringEquals', 'xks:kmsKeyAccount', '444455556666', { kmsKeyArn: OTHER_KEY }],
      [
        'StringEquals',
        'xks:kmsKeyRegion',
        'eu-west-1',
        { kmsKeyArn: KMS_KEY.replace('us-east-2', 'eu-west-1') },
      ],
      ['StringEquals', 'xks:principalArn', 'AWS Internal', { awsPrincipalArn: 'AWS Internal' }],
      [
        'StringLike',
        'xks:principalArn',
        '*.amazonaws.com',
        { awsPrincipalArn: 'ec2.amazonaws.com' },
      ],
      [
        'ArnLike',
        'xks:PrincipalArn',
        'arn:aws:iam::*:user/Bob',
        { awsPrincipalArn: 'arn:aws:iam::123456789012:user/Bob' },
      ],
      ['StringEquals', 'xks:viaService', 'ebs', { kmsViaService: 'ebs' }],
      ['Null', 'xks:viaService', 'false', { kmsViaService: 'ebs' }],
      ['StringEquals', 'xks:sourceVpc', 'vpc-1', { awsSourceVpc: 'vpc-1' }],
      ['StringEquals', 'xks:sourceVpce', 'vpce-1', { awsSourceVpce: 'vpce-1' }],
    ]
    for (const [operator, key, value, metadata] of conditions)
      it(`XKS Z-01: ${operator} ${key} ${value} decides`, async () => {
        rig.setPolicy({ ...ALLOW, Condition: { [operator]: { [key]: value } } })
        await encrypt(metadata)
        await denied(encrypt())
      })

    const principals: [what: string, principal: unknown, permitted: string[]][] = [
      ['everybody', '*', [ALICE, 'AWS Internal', 'ec2.amazonaws.com', '']],
      ['an account', { AWS: '123456789012' }, [ALICE, 'arn:aws:iam::123456789012:role/R']],
      ['a user', { AWS: ALICE }, [ALICE]],
    ]
    for (const [what, Principal, permitted] of principals)
      it(`XKS Z-01, XKS M-03: ${what} as the principal`, async () => {
        rig.setPolicy({ ...ALLOW, Principal })
        for (const awsPrincipalArn of [
          ALICE,
          'arn:aws:iam::123456789012:role/R',
          'arn:aws:iam::444455556666:user/Alice',
          'AWS Internal',
          'ec2.amazonaws.com',
          '',
        ]) {
          const asked = encrypt({ awsPrincipalArn })
          if (permitted.includes(awsPrincipalArn) || Principal === '*') await asked
          else await denied(asked)
        }
      })

    it('XKS Z-01: store and key are the resource', async () => {
      rig.setPolicy({ ...ALLOW, Resource: 'shop/ord*' })
      await encrypt()
      rig.setPolicy({ ...ALLOW, Resource: ['other/o*', 'shop/x'] })
      await denied(encrypt())
    })

    it('XKS Z-06: a policy that fails permits nothing', async () => {
      const policy: CompiledPolicy = {
        kind: 'xks',
        decide: () => {
          throw new RangeError('broken')
        },
      }
      rig.store = { ...rig.store, policy }
      const error = await denied(encrypt())
      expect(error.cause).to.be.instanceOf(RangeError)
      expect(rig.trail.decision).to.contain('could not be evaluated')
    })
  })

  describe('of a pinned key', () => {
    beforeEach(() => {
      rig.key = { ...rig.key, kmsKeyArn: KMS_KEY }
    })

    it('XKS Z-05, AT-Z12, U-08: another KMS key, of whatever account, is refused', async () => {
      await encrypt()
      for (const kmsKeyArn of [OTHER_KEY, `${KMS_KEY}0`, KMS_KEY.toUpperCase(), '']) {
        await denied(encrypt({ kmsKeyArn }))
        expect(rig.trail.decision).to.equal(`denied: the external key is pinned to ${KMS_KEY}`)
      }
    })

    it('XKS Z-05: also by Decrypt, and where a policy allows it', async () => {
      const body = decryptOf(await rig.encrypt())
      rig.setPolicy(ALLOW)
      const requestMetadata = { ...METADATA, kmsKeyArn: OTHER_KEY }
      await denied(rig.perform('Decrypt', { ...body, requestMetadata }))
    })

    it('XKS Z-05: GetKeyMetadata is asked about the pin only when it names a key', async () => {
      const { kmsKeyArn: _, ...requestMetadata } = METADATA
      await rig.perform('GetKeyMetadata', { requestMetadata })
      await rig.perform('GetKeyMetadata', { requestMetadata: METADATA })
      await denied(
        rig.perform('GetKeyMetadata', { requestMetadata: { ...METADATA, kmsKeyArn: OTHER_KEY } }),
      )
    })

    it('AT-Z11: the refusal does not tell which key it is', async () => {
      const error = await denied(encrypt({ kmsKeyArn: OTHER_KEY }))
      expect(error.message).not.to.contain(KMS_KEY)
    })
  })
})

describe('the policy of docs/xks.md', () => {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'xks.md'), 'utf8')
  const [, document = ''] = /```json\n([^`]*)```/.exec(text) ?? []
  let rig: XksRig
  beforeEach(() => {
    rig = new XksRig()
    const ours = document.replaceAll('payments', rig.store.name).replaceAll('111122223333', ACCOUNT)
    rig.store = { ...rig.store, policy: compilePolicy(ours, 'xks') }
  })

  it('XKS Z-07: lets AWS KMS make a key, encrypt and decrypt', async () => {
    const { kmsKeyArn: _, ...requestMetadata } = METADATA
    await rig.perform('GetKeyMetadata', { requestMetadata })
    await rig.decrypt(decryptOf(await rig.encrypt()))
  })

  it('XKS Z-02: lets no KMS key of another account use one', async () => {
    const kmsKeyArn = KMS_KEY.replace(ACCOUNT, '999999999999')
    const body = { ...ENCRYPT, requestMetadata: { ...METADATA, kmsKeyArn } }
    await refusal(rig.perform('Encrypt', body), 403, 'AccessDeniedException')
  })
})

const ACCOUNT = '123456789012'
