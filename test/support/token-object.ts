import type { KeyUse } from '../../src/pkcs11/template.ts'

/** One object of a token with everything that is needed to make it again; value and id in hex. */
export type TokenObject = TokenRecord | TokenKey

interface TokenRecord {
  readonly class: 'DATA'
  readonly label: string
  readonly application: string
  readonly value: string
}

interface TokenKey {
  readonly class: 'SECRET_KEY'
  readonly label: string
  readonly keyType: 'AES' | 'GENERIC_SECRET'
  readonly id: string
  readonly uses: readonly KeyUse[]
  readonly value: string
}
