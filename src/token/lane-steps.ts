import type { Mechanism } from '../pkcs11/mechanism.ts'
import type { Session } from '../pkcs11/session.ts'

/** One native call that uses a key. */
export interface CipherStep {
  readonly call: 'encrypt' | 'decrypt' | 'sign'
  readonly session: Session
  readonly mechanism: Mechanism
  readonly key: Buffer
  readonly input: Buffer
  readonly maxOutputBytes: number
}

/**
 * Work that pauses at every native call with a key and is handed the output. It is written once and runs in both forms
 * that a profile may ask for: `runSteps` where calls are synchronous, `runStepsAsync` where several are under way.
 * An error of the call is thrown inside the work, at the step that caused it.
 */
export type Steps<T> = Generator<CipherStep, T, Buffer>

export function runSteps<T>(steps: Steps<T>): T {
  let next = steps.next()
  while (!next.done) {
    let output: Buffer
    try {
      output = perform(next.value)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(output)
  }
  return next.value
}

export async function runStepsAsync<T>(steps: Steps<T>): Promise<T> {
  let next = steps.next()
  while (!next.done) {
    let output: Buffer
    try {
      output = await performAsync(next.value)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(output)
  }
  return next.value
}

function perform({ session, call, mechanism, key, input, maxOutputBytes }: CipherStep): Buffer {
  return session[call](mechanism, key, input, maxOutputBytes)
}

function performAsync(step: CipherStep): Promise<Buffer> {
  const { session, call, mechanism, key, input, maxOutputBytes } = step
  return session[`${call}Async`](mechanism, key, input, maxOutputBytes)
}

/** Work that uses no key, and so has nothing to pause at. */
// oxlint-disable-next-line require-yield
export function* atOnce<T>(work: () => T): Steps<T> {
  return work()
}
