import { expect } from 'chai'
import type { XksOperation } from '../../src/xks/proxy.ts'
import { decryptOf, ENCRYPT, METADATA, refusal, XksRig } from './rig.ts'

const REQUIRED: Readonly<Record<XksOperation, readonly string[]>> = {
  GetKeyMetadata: ['awsPrincipalArn', 'kmsOperation', 'kmsRequestId'],
  Encrypt: ['awsPrincipalArn', 'kmsKeyArn', 'kmsOperation', 'kmsRequestId'],
  Decrypt: ['awsPrincipalArn', 'kmsKeyArn', 'kmsOperation', 'kmsRequestId'],
  GetHealthStatus: ['kmsOperation', 'kmsRequestId'],
}
const OPTIONAL: Readonly<Record<XksOperation, readonly string[]>> = {
  GetKeyMetadata: ['kmsKeyArn', 'awsSourceVpc', 'awsSourceVpce'],
  Encrypt: ['kmsViaService', 'awsSourceVpc', 'awsSourceVpce'],
  Decrypt: ['kmsViaService', 'awsSourceVpc', 'awsSourceVpce'],
  GetHealthStatus: [],
}
const OPERATIONS = Object.keys(REQUIRED) as XksOperation[]

describe('requestMetadata', () => {
  let rig: XksRig
  let bodies: Record<XksOperation, object>
  beforeEach(async () => {
    rig = new XksRig()
    bodies = {
      GetKeyMetadata: {},
      GetHealthStatus: {},
      Encrypt: ENCRYPT,
      Decrypt: decryptOf(await rig.encrypt()),
    }
    rig.custody.calls.length = 0
  })
  const perform = (operation: XksOperation, requestMetadata: unknown, more: object = {}) =>
    rig.perform(operation, { ...bodies[operation], requestMetadata, ...more })

  for (const operation of OPERATIONS) {
    describe(operation, () => {
      const minimal = Object.fromEntries(
        REQUIRED[operation].map((name) => [name, METADATA[name as keyof typeof METADATA]]),
      )

      it('XKS M-09: takes the required fields alone', () => perform(operation, minimal))

      for (const value of [undefined, null, 1, 'text', true, [], [minimal], {}])
        it(`XKS M-01: refuses ${JSON.stringify(value)} for all of it`, async () => {
          await refusal(perform(operation, value), 400, 'ValidationException')
          expect(rig.custody.calls).to.deep.equal([])
        })

      for (const name of REQUIRED[operation]) {
        for (const value of [undefined, null, 1, {}, [], false])
          it(`XKS M-01: refuses ${name} ${JSON.stringify(value)}`, async () => {
            const error = await refusal(
              perform(operation, { ...minimal, [name]: value }),
              400,
              'ValidationException',
            )
            expect(error.message).to.contain(name)
          })
        it(`XKS M-04, XKS M-08: takes an empty ${name}`, () =>
          perform(operation, { ...minimal, [name]: '' }))
        it(`AT-J05: refuses a lone surrogate in ${name}`, () =>
          refusal(
            perform(operation, { ...minimal, [name]: 'a\ud800b' }),
            400,
            'ValidationException',
          ))
        it(`takes 4,096 characters of ${name} and not one more`, async () => {
          await perform(operation, { ...minimal, [name]: 'x'.repeat(4096) })
          await refusal(
            perform(operation, { ...minimal, [name]: 'x'.repeat(4097) }),
            400,
            'ValidationException',
          )
        })
      }

      for (const name of OPTIONAL[operation]) {
        it(`XKS M-09: takes ${name}, and it stands in the trail`, async () => {
          await perform(operation, { ...minimal, [name]: 'value' })
          expect(rig.trail.requestMetadata).to.include({ [name]: 'value' })
        })
        it(`takes ${name} that is null`, () => perform(operation, { ...minimal, [name]: null }))
        it(`refuses ${name} that is no string`, () =>
          refusal(perform(operation, { ...minimal, [name]: 1 }), 400, 'ValidationException'))
      }

      it('XKS M-07: ignores members that it does not know, at both levels', () =>
        perform(
          operation,
          { ...minimal, kmsNitroEnclave: { deep: [1] }, toString: 1 },
          { futureMember: { a: 1 }, constructor: 2 },
        ))

      it('AT-J02: members called __proto__ and constructor are data without effect', async () => {
        const text = JSON.stringify({ ...bodies[operation], requestMetadata: minimal })
        const first = REQUIRED[operation][0] ?? ''
        const polluted = `{"__proto__":{"plaintext":1,"requestMetadata":1},"constructor":{"prototype":{"x":1}},${text.slice(1)}`
        await rig.perform(operation, Buffer.from(polluted))
        const { [first]: _, ...without } = minimal
        const inherited = JSON.stringify({
          ...bodies[operation],
          requestMetadata: without,
        }).replace('"requestMetadata":{', `"requestMetadata":{"__proto__":{"${first}":"x"},`)
        await refusal(rig.perform(operation, Buffer.from(inherited)), 400, 'ValidationException')
        expect(({} as Record<string, unknown>)['x']).to.equal(undefined)
      })

      it('XKS M-06: what there is of it stands in the trail also when something is missing', async () => {
        const { kmsOperation: _, ...rest } = minimal
        await refusal(perform(operation, rest), 400, 'ValidationException')
        expect(rig.trail.requestMetadata).to.include(rest)
      })
    })
  }

  const odd: [what: string, changes: object][] = [
    [
      'XKS M-02: ARNs of 2,048 characters',
      {
        awsPrincipalArn: `arn:aws:iam::123456789012:role/${'r'.repeat(2017)}`,
        kmsKeyArn: `arn:aws:kms:us-east-2:123456789012:key/${'k'.repeat(2009)}`,
      },
    ],
    ['XKS M-03: a service for a principal', { awsPrincipalArn: 'ec2.amazonaws.com' }],
    ['XKS M-03: AWS Internal for a principal', { awsPrincipalArn: 'AWS Internal' }],
    ['XKS M-04: an operation that does not exist', { kmsOperation: 'BulkEncrypt' }],
    ['XKS M-04: an operation of 1,000 characters', { kmsOperation: 'x'.repeat(1000) }],
    ['XKS M-05: a request id of one character', { kmsRequestId: 'x' }],
    ['XKS M-05: a request id of 500 characters', { kmsRequestId: 'x'.repeat(500) }],
    [
      'XKS M-05, AT-J12: a request id of emoji and control characters',
      { kmsRequestId: '\u{1f511}\r\n\u0000\u001b[2J%s"}' },
    ],
    [
      'XKS M-08: the key ARN of the examples',
      { kmsKeyArn: 'arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab' },
    ],
  ]
  for (const [what, changes] of odd)
    it(`takes ${what}`, async () => {
      for (const operation of ['Encrypt', 'Decrypt'] as const)
        await perform(operation, { ...METADATA, ...changes })
      expect(rig.trail.requestMetadata).to.include(changes)
    })
})
