import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, '..', 'vectors', 'golden', 'xks')

interface AadAndCdiv {
  readonly iv: string
  readonly ciphertext: string
  readonly tag: string
  readonly rows: readonly {
    readonly title: string
    readonly aadBytes: number | null
    readonly metadata: string | null
    readonly gcmAadSha256: string
    /** Only of short ones. */
    readonly gcmAad: string | null
    readonly hashedGcmAad: string
    readonly cdiv: string
  }[]
  readonly specification: {
    readonly title: string
    readonly aad: string
    readonly metadata: string
    readonly iv: string
    readonly ciphertext: string
    readonly tag: string
    readonly cdiv: string
  }
}

interface Ciphertexts {
  readonly keys: Readonly<
    Record<'own' | 'adopted', { readonly materialId: string; readonly value: string }>
  >
  readonly ciphertexts: readonly {
    readonly title: string
    readonly key: 'own' | 'adopted'
    readonly aadBytes: number | null
    readonly metadata: string | null
    readonly plaintext: string
    readonly iv: string
    readonly ciphertext: string
    readonly tag: string
  }[]
}

export const AAD_AND_CDIV = read('aad-and-cdiv.json') as AadAndCdiv
export const CIPHERTEXTS = read('ciphertext-v1.json') as Ciphertexts

/** The AAD of a vector. */
export function aadOf(bytes: number | null): Buffer | undefined {
  return bytes === null ? undefined : Buffer.from(Array.from({ length: bytes }, (_, i) => i % 251))
}

export function hex(text: string | null): Buffer | undefined {
  return text === null ? undefined : Buffer.from(text, 'hex')
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(join(FOLDER, name), 'utf8'))
}
