import { CustodyError, type CustodyErrorCode } from '../crypto/custody-error.ts'
import { CKR_CLASSES } from '../pkcs11/ckr.ts'
import { Pkcs11Error } from '../pkcs11/pkcs11-error.ts'
import { LaneError } from './lane-error.ts'
import type { LaneAdvice, LaneErrorReply } from './lane-protocol.ts'

/**
 * What the front hears of an error: the CKR table says code and advice (FM-3.1). `ambiguous` is the code for a return code
 * that may be the token's own trouble; nobody may say CIPHERTEXT_REJECTED here, that takes evidence (ARCH-D10).
 */
export function laneErrorOf(
  error: unknown,
  ambiguous: { code: CustodyErrorCode; advice: LaneAdvice } = { code: 'INTERNAL', advice: 'keep' },
): LaneError {
  if (error instanceof LaneError) return error
  if (error instanceof Pkcs11Error) {
    const { custodyCode, advice } = CKR_CLASSES[error.ckrClass]
    const verdict = error.ckrClass === 'AMBIGUOUS' ? ambiguous : { code: custodyCode, advice }
    return fault(verdict.code, verdict.advice, error.message, error)
  }
  if (error instanceof CustodyError)
    return fault(
      error.code,
      error.code === 'DEVICE_GONE' ? 'replace' : 'keep',
      error.message,
      error,
    )
  return fault('INTERNAL', 'replace', String(error))
}

/** A LaneError that keeps the call and the return code of its cause for the log. */
export function fault(
  code: CustodyErrorCode,
  advice: LaneAdvice,
  message: string,
  cause?: unknown,
): LaneError {
  const known = cause instanceof Pkcs11Error || cause instanceof CustodyError ? cause : undefined
  return new LaneError({
    code,
    message,
    advice,
    ...(known?.ckr === undefined ? {} : { ckr: known.ckr }),
    ...(known?.call === undefined ? {} : { call: known.call }),
  })
}

export function faultReply({ code, message, advice, ckr, call }: LaneError): LaneErrorReply {
  return {
    code,
    message,
    advice,
    ...(ckr === undefined ? {} : { ckr }),
    ...(call === undefined ? {} : { call }),
  }
}
