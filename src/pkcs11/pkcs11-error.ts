import type { CkrClass } from './ckr.ts'
import { ckrRow } from './ckr.ts'

/** A PKCS#11 call that did not return CKR_OK: which call, which code, and the class that decides what follows. */
export class Pkcs11Error extends Error {
  readonly ckr: number
  readonly ckrName: string
  readonly ckrClass: CkrClass
  readonly call: string

  constructor(
    ckr: number,
    call: string,
    options: { ambiguous?: ReadonlySet<string>; cause?: unknown } = {},
  ) {
    const row = ckrRow(ckr, options.ambiguous)
    super(`${call} returned ${row.name}`, { cause: options.cause })
    this.name = 'Pkcs11Error'
    this.ckr = ckr
    this.ckrName = row.name
    this.ckrClass = row.class
    this.call = call
  }
}

// C_CreateObject, C_SetAttributeValue and C_FindObjects throw a plain Error with this text; the others an error with `code`.
const PLAIN_TEXT = /CKR_\w+:(\d+)/

/**
 * Makes one kind of error of everything that pkcs11js throws. What carries no return code is not the token's answer but a
 * mistake of ours or of the binding: it becomes a TypeError, and the process that saw it should not be believed further.
 */
export function pkcs11ErrorOf(
  thrown: unknown,
  call: string,
  ambiguous?: ReadonlySet<string>,
): Pkcs11Error | TypeError {
  const ckr = returnCodeOf(thrown)
  if (ckr === undefined) {
    return new TypeError(`${call} was refused by the PKCS#11 binding`, { cause: thrown })
  }
  return new Pkcs11Error(ckr, call, ambiguous ? { ambiguous, cause: thrown } : { cause: thrown })
}

function returnCodeOf(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || thrown instanceof TypeError) return undefined
  if ('code' in thrown && typeof thrown.code === 'number' && thrown.code > 0) return thrown.code
  const text = PLAIN_TEXT.exec(thrown.message)?.[1]
  return text === undefined ? undefined : Number(text)
}
