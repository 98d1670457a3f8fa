import { CustodyError, type CustodyErrorCode } from '../../src/crypto/custody-error.ts'
import type { XksOperation } from '../../src/xks/proxy.ts'
import { XksError, type XksErrorName } from '../../src/xks/xks-error.ts'
import { decryptOf, ENCRYPT, refusal, XksRig } from './rig.ts'

type Body = Record<string, unknown>

/** One thing that is wrong with a request. */
interface Fault {
  readonly name: string
  readonly status: number
  readonly errorName: XksErrorName
  readonly operations: readonly XksOperation[]
  /** Faults that exclude each other by nature have the same one. */
  readonly place: string
  readonly body?: (body: Body) => Body
  readonly contentType?: string
  readonly rig?: (rig: XksRig) => void
}

const BOTH: readonly XksOperation[] = ['Encrypt', 'Decrypt']
const custodyFails = (code: CustodyErrorCode) => (rig: XksRig) => {
  for (const call of ['encrypt', 'decrypt'] as const)
    rig.custody.beforeNext(call, () => {
      throw new CustodyError(code, code)
    })
}
const setting = (changes: Body) => (body: Body) => ({ ...body, ...changes })
const base64 = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64')

/** In the order of errors of XKS 1.9, steps 8 to 14. */
const FAULTS: readonly Fault[] = [
  {
    name: '8 content type',
    status: 400,
    errorName: 'ValidationException',
    operations: BOTH,
    place: 'type',
    contentType: 'text/plain',
  },
  {
    name: '8 metadata',
    status: 400,
    errorName: 'ValidationException',
    operations: BOTH,
    place: 'metadata',
    body: setting({ requestMetadata: {} }),
  },
  {
    name: '8 schema',
    status: 400,
    errorName: 'ValidationException',
    operations: BOTH,
    place: 'algorithm',
    body: setting({ encryptionAlgorithm: 1 }),
  },
  {
    name: '9 key',
    status: 404,
    errorName: 'KeyNotFoundException',
    operations: BOTH,
    place: 'key',
    rig: (rig) => (rig.store = { ...rig.store, findKey: () => undefined }),
  },
  {
    name: '10 policy',
    status: 403,
    errorName: 'AccessDeniedException',
    operations: BOTH,
    place: 'policy',
    rig: (rig) => rig.setPolicy({ Effect: 'Deny', Principal: '*', Action: '*', Resource: '*' }),
  },
  {
    name: '10 pin',
    status: 403,
    errorName: 'AccessDeniedException',
    operations: BOTH,
    place: 'pin',
    rig: (rig) => (rig.key = { ...rig.key, kmsKeyArn: 'arn:other' }),
  },
  {
    name: '11 store',
    status: 400,
    errorName: 'InvalidStateException',
    operations: BOTH,
    place: 'store',
    rig: (rig) => (rig.store = { ...rig.store, enabled: false }),
  },
  {
    name: '11 disabled',
    status: 400,
    errorName: 'InvalidStateException',
    operations: BOTH,
    place: 'disabled',
    rig: (rig) => (rig.key = { ...rig.key, enabled: false }),
  },
  {
    name: '12 algorithm',
    status: 501,
    errorName: 'UnsupportedOperationException',
    operations: BOTH,
    place: 'algorithm',
    body: setting({ encryptionAlgorithm: 'AES_CBC' }),
  },
  {
    name: '12 plaintext too long',
    status: 501,
    errorName: 'UnsupportedOperationException',
    operations: ['Encrypt'],
    place: 'text',
    body: setting({ plaintext: base64(16_385) }),
  },
  {
    name: '12 ciphertext too long',
    status: 501,
    errorName: 'UnsupportedOperationException',
    operations: ['Decrypt'],
    place: 'text',
    body: setting({ ciphertext: base64(16_385) }),
  },
  {
    name: '12 AAD too long',
    status: 501,
    errorName: 'UnsupportedOperationException',
    operations: BOTH,
    place: 'aad',
    body: setting({ additionalAuthenticatedData: base64(65_536) }),
  },
  {
    name: '12 IV length',
    status: 400,
    errorName: 'InvalidCiphertextException',
    operations: ['Decrypt'],
    place: 'iv',
    body: setting({ initializationVector: base64(13) }),
  },
  {
    name: '12 tag length',
    status: 400,
    errorName: 'InvalidCiphertextException',
    operations: ['Decrypt'],
    place: 'tag',
    body: setting({ authenticationTag: base64(12) }),
  },
  {
    name: '12 metadata length',
    status: 400,
    errorName: 'InvalidCiphertextException',
    operations: ['Decrypt'],
    place: 'md',
    body: setting({ ciphertextMetadata: base64(21) }),
  },
  {
    name: '12 bad plaintext',
    status: 400,
    errorName: 'ValidationException',
    operations: ['Encrypt'],
    place: 'text',
    body: setting({ plaintext: 'a' }),
  },
  {
    name: '12 bad IV',
    status: 400,
    errorName: 'ValidationException',
    operations: ['Decrypt'],
    place: 'iv',
    body: setting({ initializationVector: 'a' }),
  },
  {
    name: '12 bad ciphertext',
    status: 400,
    errorName: 'ValidationException',
    operations: ['Decrypt'],
    place: 'text',
    body: setting({ ciphertext: 'a' }),
  },
  {
    name: '12 bad AAD',
    status: 400,
    errorName: 'ValidationException',
    operations: BOTH,
    place: 'aad',
    body: setting({ additionalAuthenticatedData: 'a' }),
  },
  {
    name: '14 usage',
    status: 400,
    errorName: 'InvalidKeyUsageException',
    operations: BOTH,
    place: 'usage',
    rig: (rig) => (rig.key = { ...rig.key, keyUsage: [] }),
  },
  {
    name: '14 budget',
    status: 400,
    errorName: 'InvalidStateException',
    operations: ['Encrypt'],
    place: 'budget',
    rig: (rig) =>
      (rig.parts = {
        ...rig.parts,
        spend: () => Promise.reject(new XksError('InvalidStateException', 'Used up.')),
      }),
  },
  {
    name: '14 other material',
    status: 400,
    errorName: 'InvalidCiphertextException',
    operations: ['Decrypt'],
    place: 'md',
    body: setting({ ciphertextMetadata: base64(17) }),
  },
  {
    name: '14 timeout',
    status: 503,
    errorName: 'DependencyTimeoutException',
    operations: BOTH,
    place: 'custody',
    rig: custodyFails('DEADLINE'),
  },
  {
    name: '14 device',
    status: 500,
    errorName: 'InternalException',
    operations: BOTH,
    place: 'custody',
    rig: custodyFails('DEVICE_GONE'),
  },
]

describe('XKS 1.9: the order of errors behind the signature', () => {
  for (const operation of BOTH) {
    const feasible = FAULTS.filter(({ operations }) => operations.includes(operation))
    for (const [i, first] of feasible.entries()) {
      it(`${operation}: ${first.name} alone`, () => check(operation, first))
      for (const second of feasible.slice(i + 1).filter(({ place }) => place !== first.place))
        it(`${operation}: ${first.name} comes before ${second.name}`, () =>
          check(operation, first, second))
    }
  }

  it('KeyNotFound comes before the store\u2019s state in GetKeyMetadata too', async () => {
    const rig = new XksRig()
    rig.store = { ...rig.store, enabled: false, findKey: () => undefined }
    await refusal(rig.perform('GetKeyMetadata', ENCRYPT), 404, 'KeyNotFoundException')
  })
})

async function check(operation: XksOperation, first: Fault, second?: Fault): Promise<void> {
  const rig = new XksRig()
  const made = decryptOf(await rig.encrypt())
  const faults = second === undefined ? [first] : [second, first]
  let body: Body = operation === 'Encrypt' ? { ...ENCRYPT } : { ...made }
  for (const fault of faults) {
    fault.rig?.(rig)
    body = fault.body?.(body) ?? body
  }
  const contentType = faults.find((fault) => fault.contentType)?.contentType
  await refusal(
    rig.perform(operation, body, contentType === undefined ? {} : { contentType }),
    first.status,
    first.errorName,
  )
}
