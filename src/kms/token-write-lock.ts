import { KmsError } from './kms-error.ts'

/** The right to write to the token, for as long as the work that got it runs (FM-F32). */
export interface TokenWriteLock {
  /**
   * Throws TokenWriteLockLost when another process may have the right by now, as after this one was stopped for a while. To be
   * asked right before every write to the token.
   */
  assertHeld(): void
}

/** Another process has taken the token over. Whatever was on its way here is not committed. */
export class TokenWriteLockLost extends KmsError {
  constructor() {
    super(
      'DependencyTimeoutException',
      'The request took too long and was given up. It can be retried.',
    )
    this.name = 'TokenWriteLockLost'
  }
}

/** For storage that belongs to one process: nobody else could write. */
export const ALWAYS_HELD: TokenWriteLock = { assertHeld: () => undefined }
