import { XksError, type XksErrorName } from './xks-error.ts'

/**
 * What the directory has shown after it was asked to catch up with every change that was committed anywhere: nothing new, something
 * new, or that nobody can say, because storage is cut off or older than the token.
 */
export type CatchUp = () => Promise<'same' | 'newer' | 'unsure'>

/** A key, or the material that a ciphertext names, is not known here. Whether it exists is another question (XKS X-16). */
export class Absence extends XksError {
  constructor(errorName: XksErrorName, message?: string, options?: ErrorOptions) {
    super(errorName, message, options)
    this.name = 'Absence'
  }
}

/**
 * Does `work`; says that something is absent only when storage is known to be up to date, for AWS KMS never asks again (XKS X-16).
 * Throws InternalException, which it does repeat, where that is not known.
 */
export async function withConfirmedAbsence<T>(
  work: () => T | Promise<T>,
  catchUp: CatchUp | undefined,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Absence) || !catchUp) throw error
    const state = await catchUp()
    if (state === 'same') throw error
    if (state === 'unsure')
      throw new XksError('InternalException', 'The proxy cannot look this up at the moment.', {
        cause: error,
      })
  }
  return await work()
}
