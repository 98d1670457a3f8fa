import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { AEAD_SCHEMES, type AeadSchemeName } from '../../src/crypto/aead-scheme.ts'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import type { Material } from '../../src/crypto/key-custody.ts'
import {
  blobAad,
  blobHeader,
  parseCiphertextBlob,
  writeCiphertextBlob,
} from '../../src/kms/ciphertext-blob.ts'
import { CKA, CKK, CKO } from '../../src/pkcs11/attribute.ts'
import { Pkcs11Error } from '../../src/pkcs11/pkcs11-error.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { Aead, MacMismatch } from '../../src/token/aead.ts'
import { runSteps } from '../../src/token/lane-steps.ts'
import { type InProcessToken, inProcessToken } from '../support/softhsm.ts'

const CORPUS = join(import.meta.dirname, 'golden', 'blob-v1.json')
const WARNING =
  'Key material for tests only: it is public. Never import it where anything is to be protected.'

type Context = Readonly<Record<string, string>>

const CONTEXTS = {
  none: undefined,
  empty: {},
  onePair: { purpose: 'orders' },
  shifted: { a: 'bc' },
  shiftedTheOtherWay: { ab: 'c' },
  emptyValue: { a: '' },
  emptyKey: { '': 'a' },
  manyPairs: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key ${19 - i}`, `${i}`])),
  composed: { '\u00e9': '\u00fc' },
  decomposed: { 'e\u0301': 'u\u0308' },
  // U+1D11E stands before U+FB00 in UTF-16, and behind it in UTF-8.
  beyondBmp: { '\u{1d11e}': '\u{1f511}', '\ufb00': 'ligature' },
  oddNames: { constructor: 'x', toString: 'y' },
} as const satisfies Record<string, Context | undefined>
const CONTEXT_COUNT = Object.keys(CONTEXTS).length

const PLAINTEXT_BYTES = [1, 15, 16, 17, 31, 32, 33, 255, 1024, 4096]

/** A KMS key of one material, which stands here because no token would give it out again. */
interface GoldenKey {
  readonly name: string
  readonly accountId: string
  readonly keyId: string
  readonly arn: string
  readonly scheme: AeadSchemeName
  readonly materialId: string
  /** Values of the token objects in hex, in the order of the scheme's objects. */
  readonly objects: readonly string[]
}

interface GoldenBlob {
  readonly key: string
  readonly context?: Context
  /** Base64, as the next two. */
  readonly plaintext: string
  readonly aad: string
  readonly blob: string
}

interface Corpus {
  readonly warning: string
  readonly keys: readonly GoldenKey[]
  readonly blobs: readonly GoldenBlob[]
}

// How many there are: an empty corpus must not pass.
const KEYS = 7
const BLOBS = 69

describe('AT-C18: the golden corpus of blob version 1', () => {
  let token: InProcessToken
  before(() => {
    token = inProcessToken()
  })

  if (process.env['GOLDEN_WRITE'] === '1') writeCorpus(inProcessToken())
  // Read when the file is loaded, so that each blob is a test of its own.
  const { keys, blobs }: Omit<Corpus, 'warning'> = existsSync(CORPUS)
    ? (JSON.parse(readFileSync(CORPUS, 'utf8')) as Corpus)
    : { keys: [], blobs: [] }

  it(`has ${KEYS} keys and ${BLOBS} blobs, of both schemes`, () => {
    expect([keys.length, blobs.length]).to.deep.equal([KEYS, BLOBS])
    const schemes = new Set(keys.map(({ scheme }) => scheme))
    expect([...schemes]).to.have.members(Object.keys(AEAD_SCHEMES))
  })

  for (const [index, golden] of blobs.entries())
    it(`opens no. ${index}: ${titleOf(golden)}`, () => {
      const key = keyNamed(keys, golden.key)
      const bytes = Buffer.from(golden.blob, 'base64')
      const { header, materialId, scheme } = parseCiphertextBlob(bytes)
      expect({ materialId, scheme }).to.deep.equal({
        materialId: key.materialId,
        scheme: key.scheme,
      })
      expect(blobAad(header, key, golden.context).toString('base64')).to.equal(golden.aad)
      expect(open(token, key, bytes, golden.context).toString('base64')).to.equal(golden.plaintext)
    })

  it('AT-C04: none opens under the context of another', () => {
    for (const golden of blobs) {
      const key = keyNamed(keys, golden.key)
      const bytes = Buffer.from(golden.blob, 'base64')
      const others = Object.values(CONTEXTS).filter((it) => !isSame(it, golden.context))
      expect(others).to.have.length.of.at.least(CONTEXT_COUNT - 2) // none and empty are the same
      for (const other of others) expectRefused(() => open(token, key, bytes, other))
    }
  })

  it('ARCH-D8, AT-C12: none opens for another account, key id or twin with the same material', () => {
    for (const golden of blobs) {
      const key = keyNamed(keys, golden.key)
      const bytes = Buffer.from(golden.blob, 'base64')
      for (const other of [
        { ...key, accountId: '999999999999' },
        { ...key, keyId: '99999999-9999-4999-8999-999999999999' },
      ])
        expectRefused(() => open(token, other, bytes, golden.context))
      const twins = keys.filter(
        ({ name, objects }) => name !== key.name && isSame(objects, key.objects),
      )
      for (const twin of twins) {
        const { sealed } = parseCiphertextBlob(bytes)
        const moved = writeCiphertextBlob(blobHeader(materialOf(twin), sealed.iv.length), sealed)
        expectRefused(() => open(token, twin, moved, golden.context))
      }
    }
    expect(keys.filter(({ name }) => name.endsWith('-twin'))).to.have.length(2)
  })
})

function keyNamed(keys: readonly GoldenKey[], name: string): GoldenKey {
  const key = keys.find((candidate) => candidate.name === name)
  if (!key) throw new TypeError(`the corpus has no key ${name}`)
  return key
}

/** What a header names; golden material has no place in a token and no birth proof. */
function materialOf({ materialId, scheme }: GoldenKey): Material {
  return { materialId, scheme, objects: [], proof: Buffer.alloc(0) }
}

function titleOf({ key, context, plaintext }: GoldenBlob): string {
  const bytes = Buffer.from(plaintext, 'base64').length
  return `${bytes} bytes under ${key}, context ${JSON.stringify(context) ?? 'absent'}`
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one ?? {}) === JSON.stringify(other ?? {})
}

function expectRefused(attempt: () => unknown): void {
  try {
    attempt()
  } catch (error) {
    const refused = [MacMismatch, Pkcs11Error, CustodyError].some((it) => error instanceof it)
    if (refused) return
    throw error
  }
  expect.fail('it opened')
}

// ── on the token ─────────────────────────────────────────────────────────────────────────────────────────────────────

function open(
  token: InProcessToken,
  key: GoldenKey,
  blob: Buffer,
  context: Context | undefined,
): Buffer {
  const { header, sealed } = parseCiphertextBlob(blob)
  const aad = blobAad(header, key, context)
  return withKeys(token, key, (session, handles) =>
    runSteps(new Aead(token.profile).open(key.scheme, session, handles, sealed, aad)),
  )
}

/** Brings a golden key in for one piece of work: the only place where key material is not made in the token. */
function withKeys<T>(
  token: InProcessToken,
  { scheme, objects }: GoldenKey,
  work: (session: Session, handles: readonly Buffer[]) => T,
): T {
  const session = token.openSession()
  try {
    const rows = AEAD_SCHEMES[scheme].objects
    const handles = rows.map(({ keyType, role }, index) =>
      session.createObject([
        { type: CKA.CLASS, value: CKO.SECRET_KEY },
        { type: CKA.KEY_TYPE, value: CKK[keyType] },
        { type: CKA.TOKEN, value: false },
        { type: role === 'cipher' ? CKA.ENCRYPT : CKA.SIGN, value: true },
        ...(role === 'cipher' ? [{ type: CKA.DECRYPT, value: true }] : []),
        { type: CKA.VALUE, value: Buffer.from(objects[index] ?? '', 'hex') },
      ]),
    )
    return work(session, handles)
  } finally {
    session.close() // and with it its objects
  }
}

// ── how the corpus was made ──────────────────────────────────────────────────────────────────────────────────────────

/** Writes the corpus; only where there is none, since a golden blob is never made anew. */
function writeCorpus(token: InProcessToken): void {
  const schemes = Object.keys(AEAD_SCHEMES) as AeadSchemeName[]
  const pairs = schemes.flatMap((scheme) => {
    const first = newKey(scheme, scheme)
    return [first, { ...newKey(`${scheme}-twin`, scheme), objects: first.objects }]
  })
  const replicas = schemes.map((scheme) => {
    const keyId = `mrk-${randomBytes(16).toString('hex')}`
    return newKey(`${scheme}-mrk`, scheme, keyId)
  })
  const longIv = newKey('AES_GCM-long-iv', 'AES_GCM') // Luna in FIPS mode
  const keys = [...pairs, ...replicas, longIv]
  const blobs = keys.flatMap((key) =>
    plaintextsAndContexts(pairs.includes(key) && !key.name.endsWith('-twin')).map(
      ({ plaintext, context }) => seal(token, key, plaintext, context),
    ),
  )
  const corpus: Corpus = { warning: WARNING, keys, blobs }
  writeFileSync(CORPUS, `${JSON.stringify(corpus, undefined, 1)}\n`, { flag: 'wx' })
}

function plaintextsAndContexts(all: boolean) {
  const contexts = Object.values(CONTEXTS).map((context) => ({
    plaintext: randomBytes(32),
    context,
  }))
  const lengths = PLAINTEXT_BYTES.map((bytes) => ({
    plaintext: randomBytes(bytes),
    context: CONTEXTS.onePair,
  }))
  return all ? [...contexts, ...lengths] : [...contexts.slice(0, 3), ...lengths.slice(0, 2)]
}

function newKey(
  name: string,
  scheme: AeadSchemeName,
  keyId: string = crypto.randomUUID(),
): GoldenKey {
  const accountId = '111122223333'
  return {
    name,
    accountId,
    keyId,
    arn: `arn:aws:kms:eu-central-1:${accountId}:key/${keyId}`,
    scheme,
    materialId: randomBytes(32).toString('hex'),
    objects: AEAD_SCHEMES[scheme].objects.map(({ valueBytes }) =>
      randomBytes(valueBytes).toString('hex'),
    ),
  }
}

function seal(
  token: InProcessToken,
  key: GoldenKey,
  plaintext: Buffer,
  context: Context | undefined,
): GoldenBlob {
  const ivBytes = key.scheme === 'AES_CBC_HMAC' || key.name.endsWith('-long-iv') ? 16 : 12
  const header = blobHeader(materialOf(key), ivBytes)
  const aad = blobAad(header, key, context)
  const aead = new Aead({ ...token.profile, ivBytes })
  const sealed = withKeys(token, key, (session, handles) =>
    runSteps(aead.seal(key.scheme, session, handles, plaintext, aad)),
  )
  return {
    key: key.name,
    ...(context && { context }),
    plaintext: plaintext.toString('base64'),
    aad: aad.toString('base64'),
    blob: writeCiphertextBlob(header, sealed).toString('base64'),
  }
}
