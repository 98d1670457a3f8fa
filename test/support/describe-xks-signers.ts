import { existsSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import type { SignedRequest } from '../../src/sigv4/verify-signature.ts'
import {
  accessKeyIdOf,
  CALLS,
  REGION,
  readAnswer,
  secretOf,
  STORES,
  type StoreName,
  targetOf,
  XksFaceUnderTest,
} from '../http/xks-face-under-test.ts'
import {
  BOTOCORE,
  BotocoreSigner,
  CURL,
  CurlSender,
  type PlainXksRequest,
  signWithAws4,
  signWithSmithy,
  type XksSigner,
} from '../http/xks-signers.ts'
import {
  mutateBody,
  mutateHeader,
  type Random,
  repeatHeader,
  seededRandom,
} from '../sigv4/request-mutations.ts'

export interface XksSigners {
  /** Random requests, and as many mutants, of @smithy/signature-v4, aws4 and botocore, in equal parts. */
  readonly requests: number
  /** The same of curl, a process each. */
  readonly byCurl: number
}

const STORE_NAMES = Object.keys(STORES) as StoreName[]
const ID_CHARACTERS = 'abcXYZ019._-'
const VALUE_CHARACTERS = 'abc  \t019-._"=;:,/\\'
const NAME_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** Other people's signers at the XKS face, as many requests as its caller wants. SIGV4_SEED repeats a run's choices. */
export function describeXksSigners({ requests, byCurl }: XksSigners): void {
  const seed = Number(process.env['SIGV4_SEED'] ?? 20261122)
  const signers = {
    smithy: async () => ({ sign: signWithSmithy, stop: async () => undefined }),
    aws4: async () => ({ sign: signWithAws4, stop: async () => undefined }),
    botocore: async () => {
      const botocore = new BotocoreSigner()
      return { sign: (plain) => botocore.sign(plain), stop: () => botocore.stop() }
    },
  } satisfies Record<string, () => Promise<{ sign: XksSigner; stop: () => Promise<void> }>>

  describe(`other people’s signers at the XKS face, seed ${seed}`, function () {
    this.timeout(60_000 + requests * 20 + byCurl * 500)
    const each = Math.ceil(requests / Object.keys(signers).length)
    let face: XksFaceUnderTest
    let line: KeptConnection
    beforeEach(async () => {
      face = await new XksFaceUnderTest().start()
      line = new KeptConnection(face.port)
    })
    afterEach(async () => {
      line.close()
      await face.stop()
    })

    for (const [name, start] of Object.entries(signers))
      itNeeds(
        name === 'botocore' ? BOTOCORE : undefined,
        `AT-S31: takes ${each} random requests of ${name} and no single mutation of them`,
        async () => {
          const random = seededRandom(seed)
          const { sign, stop } = await start()
          try {
            for (let i = 0; i < each; i += 1) {
              const request = await sign(randomRequest(random))
              await taken(request, await line.send(request))
              await refused(mutate(request, random))
              forget(i + 1)
            }
          } finally {
            await stop()
          }
        },
      )

    itNeeds(
      CURL,
      `AT-S31: takes ${byCurl} random requests of curl and no single mutation of them`,
      async () => {
        const random = seededRandom(seed)
        const curl = await new CurlSender(face.port).start()
        try {
          for (let i = 0; i < byCurl; i += 1) {
            const { status, written } = await curl.send(randomRequest(random))
            await taken(written, status)
            await refused(mutate(written, random))
            forget(i + 1)
          }
        } finally {
          await curl.stop()
        }
      },
    )

    async function taken(request: SignedRequest, status: number): Promise<void> {
      if (status !== 200) expect.fail(`false reject, ${status}: ${shown(request)}`)
      const { body } = face.requests.at(-1) ?? expect.fail('nothing has arrived')
      if (!body.equals(request.body)) expect.fail(`another body: ${shown(request)}`)
    }

    async function refused(mutant: SignedRequest): Promise<void> {
      const status = await line.send(mutant)
      if (status !== 401) expect.fail(`false accept, ${status}: ${shown(mutant)}`)
    }

    /** What the face under test keeps of each request; AT-S24: none of them was taken for a repeated one. */
    function forget(count: number): void {
      expect([face.requests.length, face.replays.length]).deep.equal([1, 0], `after ${count}`)
      for (const kept of [face.requests, face.records, face.logged, face.observed]) kept.length = 0
    }

    function randomRequest(random: Random): PlainXksRequest {
      const store = STORE_NAMES[random(STORE_NAMES.length)] as StoreName
      const call = CALLS[random(CALLS.length)] as (typeof CALLS)[number]
      const headers: Record<string, string> = { 'Content-Type': 'application/json' }
      for (let i = random(5); i > 0; i -= 1)
        headers[`X-${text(random, NAME_CHARACTERS, 1, 8)}-${i}`] = text(
          random,
          VALUE_CHARACTERS,
          1,
          20,
        )
      const body = Buffer.alloc(8 + random(random(2) === 0 ? 100 : 5000))
      for (const i of body.keys()) body[i] = random(256)
      face.nowMs = Date.now() // botocore and curl sign by the clock of the machine
      return {
        origin: `http://127.0.0.1:${face.port}`,
        path: targetOf(call, store, `k${text(random, ID_CHARACTERS, 0, 100)}`),
        headers,
        body,
        accessKeyId: accessKeyIdOf(store),
        secretAccessKey: secretOf(store),
        region: REGION,
        now: face.nowMs,
      }
    }
  })
}

/** Where a program is absent it is a failure in CI and a named skip elsewhere. */
function itNeeds(program: string | undefined, title: string, test: () => Promise<void>): void {
  if (program === undefined || existsSync(program) || process.env['CI'] === 'true') it(title, test)
  else it.skip(`${title}: ${program} is not here`, test)
}

function text(random: Random, alphabet: string, from: number, to: number): string {
  const length = from + random(to - from + 1)
  return Array.from({ length }, () => alphabet[random(alphabet.length)]).join('')
}

/** Changes one thing that the signature covers into something that HTTP and the path of the API still allow. */
function mutate(request: SignedRequest, random: Random): SignedRequest {
  const kinds = [mutateBody, mutateTarget, mutateValue, mutateValue, repeatOther, dropHeader]
  return (kinds[random(kinds.length)] as (typeof kinds)[number])(request, random)
}

function mutateTarget(request: SignedRequest, random: Random): SignedRequest {
  const { rawTarget } = request
  const [, prefix = '', rest = ''] = /^(.*)\/kms\/xks\/v1(\/.*)$/.exec(rawTarget) ?? []
  const otherPrefixes = Object.values(STORES).filter((it) => it !== prefix)
  const edits = [`${otherPrefixes[random(otherPrefixes.length)] ?? ''}/kms/xks/v1${rest}`]
  const [, id, call] = /^\/keys\/(.*)\/(.*)$/.exec(rest) ?? []
  if (id !== undefined && call !== undefined) {
    const at = random(id.length)
    const otherCall = call === 'decrypt' ? 'encrypt' : 'decrypt'
    const otherId = id.slice(0, at) + (id[at] === 'q' ? 'r' : 'q') + id.slice(at + 1)
    for (const path of [`${otherId}/${call}`, `${id}z/${call}`, `${id}/${otherCall}`])
      edits.push(`${prefix}/kms/xks/v1/keys/${path}`)
  }
  return { ...request, rawTarget: edits[random(edits.length)] as string }
}

/** Another length would be another message. */
function mutateValue(request: SignedRequest, random: Random): SignedRequest {
  for (;;) {
    const mutant = mutateHeader(request, random)
    const changed = mutant.rawHeaders.findIndex((given, i) => given !== request.rawHeaders[i])
    if (mutant.rawHeaders[changed - 1]?.toLowerCase() !== 'content-length') return mutant
  }
}

/** Two of these are no HTTP at all. */
function repeatOther(request: SignedRequest, random: Random): SignedRequest {
  for (;;) {
    const repeated = repeatHeader(request, random)
    if (!/^(host|content-length)$/i.test(repeated.rawHeaders.at(-2) ?? '')) return repeated
  }
}

function dropHeader(request: SignedRequest, random: Random): SignedRequest {
  const { rawHeaders } = repeatOther(request, random)
  const name = rawHeaders.at(-2)?.toLowerCase()
  const kept = request.rawHeaders.flatMap((given, i) =>
    i % 2 === 1 || given.toLowerCase() === name ? [] : [given, request.rawHeaders[i + 1] ?? ''],
  )
  return { ...request, rawHeaders: kept }
}

function shown({ rawTarget, rawHeaders, body }: SignedRequest): string {
  return JSON.stringify({ rawTarget, rawHeaders, body: Buffer.from(body).toString('base64') })
}

/** One connection for all requests, one after the other; a new one when the face has closed it. */
class KeptConnection {
  readonly #port: number
  #socket: Socket | undefined

  constructor(port: number) {
    this.#port = port
  }

  async send({ method, rawTarget, rawHeaders, body }: SignedRequest): Promise<number> {
    const lines = rawHeaders.flatMap((name, i) => (i % 2 ? [] : [`${name}: ${rawHeaders[i + 1]}`]))
    if (!lines.some((header) => /^content-length:/i.test(header)))
      lines.push(`Content-Length: ${body.length}`)
    const head = [`${method} ${rawTarget} HTTP/1.1`, ...lines, '', ''].join('\r\n')
    if (!this.#socket || this.#socket.readyState !== 'open') this.#socket = this.#open()
    this.#socket.write(Buffer.concat([Buffer.from(head, 'latin1'), body]))
    return (await readAnswer(this.#socket)).status
  }

  close(): void {
    this.#socket?.destroy()
  }

  #open(): Socket {
    return connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
  }
}
