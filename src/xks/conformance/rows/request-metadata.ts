import { assertNotInvalid, assertRefused } from '../expectation.ts'
import { everyCase } from '../nonconformity.ts'
import {
  type Changes,
  OPERATIONS,
  type Operation,
  type ProxyUnderTest,
} from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

/** What each operation needs of requestMetadata; health has a row of its own. */
const REQUIRED = {
  metadata: ['awsPrincipalArn', 'kmsOperation', 'kmsRequestId'],
  encrypt: ['awsPrincipalArn', 'kmsKeyArn', 'kmsOperation', 'kmsRequestId'],
  decrypt: ['awsPrincipalArn', 'kmsKeyArn', 'kmsOperation', 'kmsRequestId'],
} as const

const NO_STRINGS = [
  ['missing', undefined],
  ['null', null],
  ['a number', 1],
  ['an object', {}],
] as const

const LONGEST_ARN = 2_048

const rows: readonly Row[] = [
  {
    id: 'M-01',
    level: 'MUST',
    title: 'a required field that is missing, or no string, is invalid',
    run: (proxy) =>
      everyCase(fieldFaults(), async ([operation, requestMetadata]) =>
        assertRefused(await proxy.call(operation, { requestMetadata }), 'ValidationException'),
      ),
  },
  {
    id: 'M-01',
    level: 'MUST',
    title: 'requestMetadata itself is required',
    run: (proxy) =>
      everyCase(
        (['metadata', 'encrypt', 'decrypt'] as const).flatMap((operation) =>
          [undefined, null, {}, [], 'text'].map(
            (value) => [`${operation}: ${JSON.stringify(value)}`, [operation, value]] as const,
          ),
        ),
        async ([operation, requestMetadata]) =>
          assertRefused(
            await proxy.call(operation, { members: { requestMetadata } }),
            'ValidationException',
          ),
      ),
  },
  {
    id: 'M-02',
    level: 'MUST',
    title: 'two ARNs of 2,048 characters fit',
    run: (proxy) =>
      notInvalid(
        proxy,
        ['encrypt', 'decrypt'],
        [
          [
            'both',
            {
              awsPrincipalArn: longest(proxy.target.awsPrincipalArn),
              kmsKeyArn: longest(proxy.target.kmsKeyArn),
            },
          ],
        ],
      ),
  },
  {
    id: 'M-03',
    level: 'MUST',
    title: 'the principal may be a service, or "AWS Internal"',
    run: (proxy) =>
      notInvalid(
        proxy,
        ['metadata', 'encrypt', 'decrypt'],
        ['ec2.amazonaws.com', 'AWS Internal'].map((it) => [it, { awsPrincipalArn: it }]),
      ),
  },
  {
    id: 'M-04',
    level: 'MUST',
    title: 'an unknown kmsOperation is not invalid',
    run: (proxy) =>
      notInvalid(
        proxy,
        OPERATIONS,
        ['BulkEncrypt', '', 'O'.repeat(1_000)].map((it) => [
          it.slice(0, 20) || 'empty',
          { kmsOperation: it },
        ]),
      ),
  },
  {
    id: 'M-05',
    level: 'MUST',
    title: 'kmsRequestId is any text',
    run: (proxy) =>
      notInvalid(proxy, OPERATIONS, [
        ['x', { kmsRequestId: 'x' }],
        ['500 characters', { kmsRequestId: 'r'.repeat(500) }],
        ['a key emoji', { kmsRequestId: '\u{1f511}' }],
        ['two lines', { kmsRequestId: 'one\r\ntwo\u001b[31m' }],
      ]),
  },
  {
    id: 'M-07',
    level: 'MUST',
    title: 'members that nobody knows yet do no harm, at either level',
    run: (proxy) =>
      everyCase(
        OPERATIONS.map((it) => [it, it] as const),
        async (operation) =>
          assertNotInvalid(
            await proxy.call(operation, {
              members: { futureMember: { deep: [1, null] }, constructor: 'x' },
              requestMetadata: { sourceIdentity: 'x', awsPrincipalTags: { team: 'a' } },
            }),
          ),
      ),
  },
  {
    id: 'M-08',
    level: 'MUST',
    title: 'a key ARN as in the examples of the specification, with ":/key/", is taken',
    run: (proxy) =>
      notInvalid(
        proxy,
        ['encrypt', 'decrypt'],
        [['the example', { kmsKeyArn: proxy.target.kmsKeyArn.replace(':key/', ':/key/') }]],
      ),
  },
  {
    id: 'M-09',
    level: 'MUST',
    title: 'the optional fields are taken',
    run: (proxy) =>
      notInvalid(
        proxy,
        ['encrypt', 'decrypt'],
        [
          ['a VPC', { awsSourceVpc: 'vpc-1234abcd', awsSourceVpce: 'vpce-1234abcd' }],
          ['an endpoint without its VPC', { awsSourceVpce: 'vpce-1234abcd' }],
          ['a service', { kmsViaService: 'ebs' }],
        ],
      ),
  },
]

export const REQUEST_METADATA: Section = { letter: 'M', name: 'requestMetadata', rows }

type Metadata = NonNullable<Changes['requestMetadata']>

function fieldFaults(): (readonly [string, readonly [Operation, Metadata]])[] {
  return Object.entries(REQUIRED).flatMap(([operation, fields]) =>
    fields.flatMap((field) =>
      NO_STRINGS.map(
        ([what, value]) =>
          [`${operation}: ${field} ${what}`, [operation as Operation, { [field]: value }]] as const,
      ),
    ),
  )
}

function notInvalid(
  proxy: ProxyUnderTest,
  operations: readonly Operation[],
  cases: readonly (readonly [name: string, requestMetadata: Metadata])[],
): Promise<void> {
  return everyCase(
    operations.flatMap((operation) =>
      cases.map(([name, it]) => [`${operation}: ${name}`, [operation, it]] as const),
    ),
    async ([operation, requestMetadata]) =>
      assertNotInvalid(await proxy.call(operation, { requestMetadata })),
  )
}

function longest(arn: string): string {
  return arn.padEnd(LONGEST_ARN, 'x')
}
