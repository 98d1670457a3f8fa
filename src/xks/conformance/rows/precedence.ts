import { randomBytes } from 'node:crypto'
import type { XksErrorName } from '../../xks-error.ts'
import type { Answer } from '../answer.ts'
import { bytesOf, type Signing } from '../attempt.ts'
import { assertRefused, assertStatus } from '../expectation.ts'
import { NotApplicable } from '../nonconformity.ts'
import { base64, type Changes, type Operation, type ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

/** One thing that is wrong with a request, and the place that its error has in our order. */
interface RequestFault {
  readonly step: number
  readonly name: string
  /** Faults that spoil the same part of a request cannot meet. */
  readonly part: string
  readonly operation?: Operation
  readonly changes: Changes | ((proxy: ProxyUnderTest) => Changes)
  assert(answer: Answer): void
}

const refused =
  (...names: readonly XksErrorName[]) =>
  (answer: Answer) =>
    assertRefused(answer, ...names)
const status = (code: number) => (answer: Answer) => assertStatus(answer, code)

/**
 * In the order in which errors win. The specification has none; ours tells a stranger nothing before he is known, and costs no
 * call of the key manager before the request is sound.
 */
const FAULTS: readonly RequestFault[] = [
  {
    step: 3,
    name: 'an unknown path',
    part: 'path',
    changes: { target: '/no/such/path' },
    assert: refused('InvalidUriPathException'),
  },
  {
    step: 4,
    name: 'another method',
    part: 'method',
    changes: { method: 'PUT' },
    assert: status(405),
  },
  {
    step: 5,
    name: 'a body that is too large',
    part: 'length',
    changes: { claimedLength: 2 ** 30 },
    assert: status(413),
  },
  {
    step: 6,
    name: 'a signature for another region',
    part: 'signing',
    changes: { signing: { region: 'xx-nowhere-9' } satisfies Partial<Signing> },
    assert: refused('AuthenticationFailedException'),
  },
  {
    step: 8,
    name: 'another content type',
    part: 'contentType',
    changes: { contentType: ['text/plain'] },
    assert: refused('ValidationException'),
  },
  {
    step: 8,
    name: 'no requestMetadata',
    part: 'requestMetadata',
    changes: { members: { requestMetadata: undefined } },
    assert: refused('ValidationException'),
  },
  {
    step: 9,
    name: 'an absent key',
    part: 'path',
    changes: (proxy) => ({ keyId: proxy.absentKeyId() }),
    assert: refused('KeyNotFoundException'),
  },
  {
    step: 11,
    name: 'a disabled key',
    part: 'path',
    changes: (proxy) => ({ keyId: proxy.need('disabledKeyId', '--disabled-key-id') }),
    assert: refused('InvalidStateException'),
  },
  {
    step: 12,
    name: 'too much plaintext',
    part: 'plaintext',
    operation: 'encrypt',
    changes: { members: { plaintext: base64(Buffer.alloc(65_536)) } },
    assert: refused('UnsupportedOperationException'),
  },
  {
    step: 12,
    name: 'a plaintext that is no Base64',
    part: 'plaintext',
    operation: 'encrypt',
    changes: { members: { plaintext: '!@#$' } },
    assert: refused('ValidationException'),
  },
  {
    step: 12,
    name: 'an IV of 13 bytes',
    part: 'iv',
    operation: 'decrypt',
    changes: { members: { initializationVector: base64(randomBytes(13)) } },
    assert: refused('InvalidCiphertextException'),
  },
  {
    step: 14,
    name: 'a key that only decrypts',
    part: 'path',
    operation: 'encrypt',
    changes: (proxy) => ({ keyId: proxy.need('decryptOnlyKeyId', '--decrypt-only-key-id') }),
    assert: refused('InvalidKeyUsageException'),
  },
  {
    step: 14,
    name: 'a wrong tag',
    part: 'tag',
    operation: 'decrypt',
    changes: { members: { authenticationTag: base64(randomBytes(16)) } },
    assert: refused('InvalidCiphertextException'),
  },
]

export const PRECEDENCE: Section = {
  letter: 'P',
  name: 'which of two errors',
  rows: pairs().map(([first, second]) => pairRow(first, second)),
}

function pairs(): (readonly [RequestFault, RequestFault])[] {
  return FAULTS.flatMap((first, index) =>
    FAULTS.slice(index + 1)
      .filter((second) => canMeet(first, second))
      .map((second) => [first, second] as const),
  )
}

function canMeet(first: RequestFault, second: RequestFault): boolean {
  const operations = new Set([first.operation, second.operation].filter((it) => it !== undefined))
  return first.step < second.step && first.part !== second.part && operations.size <= 1
}

function pairRow(first: RequestFault, second: RequestFault): Row {
  return {
    id: `P-${first.step}-${second.step}`,
    level: 'ours',
    title: `${first.name} counts before ${second.name}`,
    run: async (proxy) => {
      const operation = first.operation ?? second.operation ?? 'encrypt'
      const changes = together(changesOf(first, proxy), changesOf(second, proxy))
      const { members } = operation === 'decrypt' ? await ownMembers(proxy, changes) : changes
      const attempt = await proxy.prepare(operation, { ...changes, ...(members && { members }) })
      first.assert(await proxy.sendAlone(bytesOf(attempt).bytes))
    },
  }
}

function changesOf({ changes }: RequestFault, proxy: ProxyUnderTest): Changes {
  return typeof changes === 'function' ? changes(proxy) : changes
}

function together(a: Changes, b: Changes): Changes {
  const members = { ...a.members, ...b.members }
  return { ...a, ...b, ...(Object.keys(members).length > 0 && { members }) }
}

/** Members of a good Decrypt below those that are spoilt. */
async function ownMembers(proxy: ProxyUnderTest, changes: Changes): Promise<Changes> {
  const { body } = await proxy.prepare('decrypt')
  const good = JSON.parse(body.toString()) as Record<string, unknown>
  if (good['ciphertext'] === undefined) throw new NotApplicable('there is no ciphertext')
  return { members: { ...good, ...changes.members } }
}
