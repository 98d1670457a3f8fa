interface KeySpecRow {
  readonly usages: readonly ['ENCRYPT_DECRYPT']
  readonly encryptionAlgorithms: readonly ['SYMMETRIC_DEFAULT']
}

/** The KeySpecs that keys can be made with. */
export const KEY_SPECS = {
  SYMMETRIC_DEFAULT: {
    usages: ['ENCRYPT_DECRYPT'],
    encryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
  },
} as const satisfies Record<string, KeySpecRow>

export type KeySpec = keyof typeof KEY_SPECS

export function isKeySpec(name: string): name is KeySpec {
  return Object.hasOwn(KEY_SPECS, name)
}
