/** Builds bytes that will be authenticated: every part carries its length, so no byte can move between parts. */
export interface Fields {
  /** Appends `value` behind its length, a big-endian number of `lengthBytes` bytes. Throws RangeError if it does not fit. */
  sized(lengthBytes: 1 | 2 | 4, value: Uint8Array | string): Fields
  /** Appends an unsigned big-endian number of `width` bytes. Throws RangeError if it does not fit. */
  number(width: 1 | 2 | 4, value: number): Fields
  bytes(): Buffer
}

export function fields(): Fields {
  const parts: Uint8Array[] = []
  const builder: Fields = {
    sized(lengthBytes, value) {
      const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
      parts.push(unsigned(lengthBytes, bytes.length), bytes)
      return builder
    },
    number(width, value) {
      parts.push(unsigned(width, value))
      return builder
    },
    bytes: () => Buffer.concat(parts),
  }
  return builder
}

function unsigned(width: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(width)
  bytes.writeUIntBE(value, 0, width)
  return bytes
}

/** Reads back what `fields()` wrote. Each read throws RangeError when the bytes end too early. */
export class FieldReader {
  readonly #bytes: Buffer
  #offset = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  sized(lengthBytes: 1 | 2 | 4): Buffer {
    return this.take(this.number(lengthBytes))
  }

  number(width: 1 | 2 | 4): number {
    return this.take(width).readUIntBE(0, width)
  }

  take(bytes: number): Buffer {
    const end = this.#offset + bytes
    if (end > this.#bytes.length) throw new RangeError('the bytes end before the field does')
    const part = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return part
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length
  }
}
