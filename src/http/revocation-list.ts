import { type KeyObject, verify, type X509Certificate } from 'node:crypto'

const PEM = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g
const SEQUENCE = 0x30
const INTEGER = 0x02
const BIT_STRING = 0x03
const OBJECT_IDENTIFIER = 0x06
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18

/** By object identifier, RFC 8017 and RFC 5758. SHA-1 is not among them (AT-H10). */
const SIGNATURES: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
])

/**
 * What a CA says of certificates that it takes back: a CRL. OpenSSL reads it for every handshake; this reads it for
 * what OpenSSL has no words for: whose it is, until when it holds, and whom it names.
 */
export class RevocationList {
  readonly #der: Buffer
  readonly #signed: Buffer
  readonly #digest: string
  readonly #signature: Buffer
  readonly #serialNumbers: ReadonlySet<string>
  readonly #thisUpdate: number
  /** When the next one was promised, in milliseconds; a list without a promise holds for ever. */
  readonly nextUpdate: number

  /** Throws Error for what is no CRL. */
  constructor(der: Buffer) {
    const [list, signing, algorithm, signature] = fieldsOf(der)
    this.#der = der
    this.#signed = list.whole
    this.#digest = digestOf(algorithm)
    this.#signature = signature.content.subarray(1) // its first byte counts unused bits
    const [thisUpdate, ...rest] = signing
    this.#thisUpdate = timeOf(thisUpdate)
    const [next] = rest
    const promised = next && isTime(next) ? rest.shift() : undefined
    this.nextUpdate = promised ? timeOf(promised) : Number.POSITIVE_INFINITY
    const entries = rest[0]?.tag === SEQUENCE ? membersOf(rest[0].content) : []
    this.#serialNumbers = new Set(entries.map(({ content }) => serialNumberIn(content)))
  }

  /** For OpenSSL. */
  get pem(): string {
    const lines = this.#der.toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd()
    return `-----BEGIN X509 CRL-----\n${lines}\n-----END X509 CRL-----\n`
  }

  /** Whether this CA has signed it. */
  isOf({ publicKey }: X509Certificate): boolean {
    return isSignedBy(publicKey, this.#digest, this.#signed, this.#signature)
  }

  /** Why it does not tell of now, if so: RFC 5280 §6.3.3 says nothing can be concluded from such a one. */
  findTrouble(now: number): string | undefined {
    if (now < this.#thisUpdate)
      return `is of ${dateOf(this.#thisUpdate)}, which is ahead of our clock`
    if (now > this.nextUpdate)
      return `is out of date; the next one was due ${dateOf(this.nextUpdate)}`
    return undefined
  }

  revokes({ serialNumber }: X509Certificate): boolean {
    return this.#serialNumbers.has(canonical(serialNumber))
  }
}

/** All that are in a file: PEM, one or more, or DER as CAs hand them out. Throws Error for what is no CRL. */
export function parseRevocationLists(file: Buffer | string): RevocationList[] {
  const bytes = Buffer.from(file)
  if (bytes[0] === SEQUENCE) return [new RevocationList(bytes)]
  const blocks = [...bytes.toString('latin1').matchAll(PEM)]
  if (blocks.length === 0) throw new Error('there is no CRL in it')
  return blocks.map(([, base64 = '']) => new RevocationList(Buffer.from(base64, 'base64')))
}

interface Element {
  readonly tag: number
  readonly content: Buffer
  /** With tag and length. */
  readonly whole: Buffer
}

/** The list that is signed, its members behind the issuer, the algorithm and the signature. */
function fieldsOf(der: Buffer): [Element, [Element, ...Element[]], Element, Element] {
  const [whole, ...behind] = membersOf(der)
  if (whole?.tag !== SEQUENCE || behind.length > 0) throw new Error('it is no CRL')
  const [list, algorithm, signature] = membersOf(whole.content)
  if (list?.tag !== SEQUENCE || algorithm?.tag !== SEQUENCE || signature?.tag !== BIT_STRING)
    throw new Error('it is no CRL')
  const members = membersOf(list.content)
  if (members[0]?.tag === INTEGER) members.shift() // the version
  const [inner, issuer, thisUpdate, ...rest] = members
  if (inner?.tag !== SEQUENCE || issuer?.tag !== SEQUENCE || !thisUpdate || !isTime(thisUpdate))
    throw new Error('it is no CRL')
  return [list, [thisUpdate, ...rest], algorithm, signature]
}

/** DER, one element after the other. */
function membersOf(bytes: Buffer): Element[] {
  const elements: Element[] = []
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at + 1] ?? 0
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f
    if (lengthBytes > 4) throw new Error('it is not DER')
    const begin = at + 2 + lengthBytes
    const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes)
    const end = begin + length
    if (end > bytes.length) throw new Error('it is cut off')
    elements.push({
      tag: bytes[at] ?? 0,
      content: bytes.subarray(begin, end),
      whole: bytes.subarray(at, end),
    })
    at = end
  }
  return elements
}

function digestOf({ content }: Element): string {
  const [identifier] = membersOf(content)
  const digest =
    identifier?.tag === OBJECT_IDENTIFIER && SIGNATURES.get(identifier.content.toString('hex'))
  if (!digest) throw new Error('it is signed in another way than by RSA or ECDSA with SHA-2')
  return digest
}

function isSignedBy(key: KeyObject, digest: string, signed: Buffer, signature: Buffer): boolean {
  try {
    return verify(digest, signed, key, signature)
  } catch {
    return false // a key of another kind
  }
}

function isTime({ tag }: Element): boolean {
  return tag === UTC_TIME || tag === GENERALIZED_TIME
}

/** RFC 5280 §5.1.2.4: two digits of the year up to 2049, four from then on. */
function timeOf({ tag, content }: Element): number {
  const text = content.toString('latin1')
  const short = tag === UTC_TIME ? `${Number(text.slice(0, 2)) < 50 ? 20 : 19}${text}` : text
  const iso = short.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
  const time = Date.parse(iso)
  if (Number.isNaN(time)) throw new Error('it has no date')
  return time
}

function dateOf(time: number): string {
  return new Date(time).toISOString()
}

function serialNumberIn(entry: Buffer): string {
  const length = entry[1] ?? 0
  if (entry[0] !== INTEGER || length >= 0x80) throw new Error('it is no CRL')
  return canonical(entry.toString('hex', 2, 2 + length))
}

function canonical(hex: string): string {
  return hex.toUpperCase().replace(/^0+(?=.)/, '')
}
