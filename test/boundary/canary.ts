/** A secret that stands nowhere else in the world, and every form in which it could stand somewhere. */
export class Canary {
  readonly name: string
  readonly #forms: readonly Buffer[]

  constructor(name: string, secret: Uint8Array | string) {
    const bytes = Buffer.from(secret as Uint8Array)
    if (bytes.length < 16) throw new TypeError(`${name} is too short to be told from chance`)
    this.name = name
    this.#forms = formsOf(bytes)
  }

  isIn(haystack: Buffer): boolean {
    return this.#forms.some((form) => haystack.includes(form))
  }
}

/** Raw, as UTF-16, in hex, and in Base64 and base64url wherever in a longer text it begins. */
function formsOf(bytes: Buffer): Buffer[] {
  const hex = bytes.toString('hex')
  const base64 = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    // The first characters hold bits of what stands before, the last ones of what follows.
    const own = text.slice(shift === 0 ? 0 : 4, Math.floor((shift + bytes.length) / 3) * 4)
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
  const texts = [hex, hex.toUpperCase(), ...base64, JSON.stringify(bytes.toJSON().data)]
  return [
    bytes,
    Buffer.from(bytes.toString('latin1'), 'utf16le'),
    ...texts.map((text) => Buffer.from(text)),
  ]
}
