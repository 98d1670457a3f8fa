import type { VendorProfile } from './vendor-profile.ts'

/** Parameters of GCM as pkcs11js reads them. */
export interface GcmParameter {
  readonly type: number
  readonly iv: Buffer
  readonly ivBits: number
  readonly aad?: Buffer
  readonly tagBits: number
}

/** A mechanism with its parameter, in the shape that pkcs11js takes. Made by the functions below. */
export interface Mechanism {
  readonly mechanism: number
  readonly parameter: GcmParameter | Buffer | null
}

/** Standard numbers; a vendor's own stand in its profile (`mechanisms`). */
export const CKM = {
  CKM_SHA256_HMAC: 0x0251,
  CKM_GENERIC_SECRET_KEY_GEN: 0x0350,
  CKM_AES_KEY_GEN: 0x1080,
  CKM_AES_CBC: 0x1082,
  CKM_AES_GCM: 0x1087,
} as const

// CK_PARAMS_AES_GCM_V240. Its older sister, 3, leaves ulIvBits uninitialised.
const GCM_PARAMETER_TYPE = 7

type Numbers = Pick<VendorProfile, 'mechanisms'>

/**
 * AES-GCM. The token may write into `iv` (profile `ivModel: hsm-written`): hand in the very buffer that is read afterwards.
 * An empty `iv` asks the token for one of its own (`hsm-appended`).
 */
export function aesGcm(
  parameter: { readonly iv: Buffer; readonly aad: Buffer; readonly tagBits: number },
  profile?: Numbers,
): Mechanism {
  const { iv, aad, tagBits } = parameter
  return {
    mechanism: numberOf('CKM_AES_GCM', profile),
    parameter: {
      type: GCM_PARAMETER_TYPE,
      iv,
      ivBits: iv.length * 8,
      ...(aad.length > 0 && { aad }),
      tagBits,
    },
  }
}

/** AES-CBC without padding: the input is whole blocks. */
export function aesCbc(iv: Buffer, profile?: Numbers): Mechanism {
  return { mechanism: numberOf('CKM_AES_CBC', profile), parameter: iv }
}

export function hmacSha256(profile?: Numbers): Mechanism {
  return { mechanism: numberOf('CKM_SHA256_HMAC', profile), parameter: null }
}

export function aesKeyGen(profile?: Numbers): Mechanism {
  return { mechanism: numberOf('CKM_AES_KEY_GEN', profile), parameter: null }
}

export function genericSecretKeyGen(profile?: Numbers): Mechanism {
  return { mechanism: numberOf('CKM_GENERIC_SECRET_KEY_GEN', profile), parameter: null }
}

function numberOf(name: keyof typeof CKM, profile: Numbers | undefined): number {
  const own = profile && Object.hasOwn(profile.mechanisms, name) && profile.mechanisms[name]
  return own || CKM[name]
}
