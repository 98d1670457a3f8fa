/** Attribute types that we read or write, without their `CKA_`. */
export const CKA = {
  CLASS: 0x000,
  TOKEN: 0x001,
  PRIVATE: 0x002,
  LABEL: 0x003,
  UNIQUE_ID: 0x004, // 3.0; pkcs11js lacks it
  APPLICATION: 0x010,
  VALUE: 0x011,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  ENCRYPT: 0x104,
  DECRYPT: 0x105,
  WRAP: 0x106,
  UNWRAP: 0x107,
  SIGN: 0x108,
  VERIFY: 0x10a,
  DERIVE: 0x10c,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
  LOCAL: 0x163,
  NEVER_EXTRACTABLE: 0x164,
  ALWAYS_SENSITIVE: 0x165,
  MODIFIABLE: 0x170,
  COPYABLE: 0x171,
  DESTROYABLE: 0x172,
} as const

export type AttributeName = keyof typeof CKA

/** Object classes. */
export const CKO = {
  DATA: 0,
  CERTIFICATE: 1,
  PUBLIC_KEY: 2,
  PRIVATE_KEY: 3,
  SECRET_KEY: 4,
} as const

/** Key types. */
export const CKK = { RSA: 0x00, EC: 0x03, GENERIC_SECRET: 0x10, AES: 0x1f } as const

/** One attribute of a template. Numbers become CK_ULONG, booleans CK_BBOOL, strings UTF-8. */
export interface Attribute {
  readonly type: number
  readonly value: boolean | number | string | Buffer
}

export type Template = readonly Attribute[]

/** The number in a CK_ULONG attribute. Modules give it in the machine's byte order and width; ours are little-endian. */
export function ulongOf(value: Buffer): number {
  if (value.length !== 4 && value.length !== 8) {
    throw new TypeError(`a CK_ULONG of ${value.length} bytes`)
  }
  return value.length === 8 ? Number(value.readBigUInt64LE()) : value.readUInt32LE()
}
