import { KmsError } from '../../src/kms/kms-error.ts'

/** The name of the exception, or undefined for a success. */
export async function exceptionOf(outcome: Promise<unknown>): Promise<string | undefined> {
  try {
    await outcome
    return undefined
  } catch (error) {
    if (error instanceof KmsError) return error.code
    throw error
  }
}
