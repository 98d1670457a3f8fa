import { expect } from 'chai'
import { XksError, type XksErrorName } from '../../src/xks/xks-error.ts'
import type { Draft } from '../sigv4/reference-signer.ts'
import { errorNameOf, targetOf, XksFaceUnderTest } from './xks-face-under-test.ts'

/** What a request of this test is made of; each fault changes one part. */
interface Parts {
  rawTarget: string
  readonly changes: Partial<Draft>
  spoil: (head: string) => string
  /** What the fake proxy answers, step 8 and later. */
  thrown: XksErrorName | undefined
}

interface Fault {
  readonly step: number
  readonly what: string
  readonly status: number
  readonly errorName: XksErrorName
  plant(parts: Parts, face: XksFaceUnderTest): void
}

/** The faults of XKS 1.9 in their order. Step 1 leaves no HTTP; the pairs of steps 8 to 14 are the proxy's own. */
const FAULTS: readonly Fault[] = [
  {
    step: 2,
    what: 'malformed HTTP',
    status: 400,
    errorName: 'ValidationException',
    plant: (parts) => {
      parts.spoil = (head) => head.replace('\r\n', '\r\nContent-Length: 1\r\n')
    },
  },
  {
    step: 3,
    what: 'an unknown path',
    status: 404,
    errorName: 'InvalidUriPathException',
    plant: (parts) => {
      parts.rawTarget = parts.rawTarget.replace('/v1/', '/v2/')
    },
  },
  {
    step: 4,
    what: 'another method',
    status: 405,
    errorName: 'ValidationException',
    plant: ({ changes }) => {
      changes.method = 'PUT'
    },
  },
  {
    step: 5,
    what: 'too long a body',
    status: 413,
    errorName: 'ValidationException',
    plant: ({ changes }) => {
      changes.body = Buffer.alloc(128 * 1024 + 1, ' ')
    },
  },
  {
    step: 6,
    what: 'a wrong signature',
    status: 401,
    errorName: 'AuthenticationFailedException',
    plant: ({ changes }) => {
      changes.secret = 'wrong'
    },
  },
  {
    step: 7,
    what: 'a used-up quota',
    status: 429,
    errorName: 'ThrottlingException',
    plant: (_parts, { directory }) => {
      directory.changeStore('a', { requestsPerSecond: 0.001 })
    },
  },
  ...(
    [
      [8, 'an invalid body', 400, 'ValidationException'],
      [9, 'an unknown key', 404, 'KeyNotFoundException'],
      [10, 'no permission', 403, 'AccessDeniedException'],
      [11, 'a disabled key', 400, 'InvalidStateException'],
      [12, 'too large a parameter', 501, 'UnsupportedOperationException'],
      [13, 'overload', 429, 'ThrottlingException'],
      [14, 'a usage that the key lacks', 400, 'InvalidKeyUsageException'],
      [14, 'a bad ciphertext', 400, 'InvalidCiphertextException'],
      [14, 'a slow token', 503, 'DependencyTimeoutException'],
      [14, 'a broken token', 500, 'InternalException'],
    ] as const
  ).map(([step, what, status, errorName]) => ({
    step,
    what,
    status,
    errorName,
    plant: (parts: Parts) => {
      parts.thrown = errorName
    },
  })),
]

describe('order of errors of the XKS face', () => {
  let face: XksFaceUnderTest

  beforeEach(async () => {
    face = await new XksFaceUnderTest().start()
  })
  afterEach(() => face.stop())

  async function answerTo(faults: readonly Fault[]) {
    await face.call(targetOf('encrypt')) // what a quota may use up
    const parts: Parts = {
      rawTarget: targetOf('encrypt'),
      changes: {},
      spoil: (head) => head,
      thrown: undefined,
    }
    for (const fault of faults) fault.plant(parts, face)
    if (faults.some(({ step }) => step === 7)) await face.call(targetOf('encrypt'))
    face.perform = async () => {
      if (parts.thrown) throw new XksError(parts.thrown)
      return '{}'
    }
    return face.call(parts.rawTarget, parts.changes, parts.spoil)
  }

  for (const [i, fault] of FAULTS.entries()) {
    const { step, what, status, errorName } = fault
    it(`step ${step}: ${what} alone is ${status} ${errorName}`, async () => {
      const answer = await answerTo([fault])
      expect([answer.status, errorNameOf(answer)]).to.deep.equal([status, errorName])
    })

    for (const later of FAULTS.slice(i + 1)) {
      if (step >= 8) continue
      it(`step ${step} comes before ${later.step}: ${what} and ${later.what}`, async () => {
        const answer = await answerTo([later, fault])
        expect([answer.status, errorNameOf(answer)]).to.deep.equal([status, errorName])
      })
    }
  }
})
