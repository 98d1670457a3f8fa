import type { WriteTurn } from '../crypto/key-custody.ts'
import { KmsError } from './kms-error.ts'

/** The right to write to the token, for as long as the work that got it runs (FM-F32). `assertHeld` throws TokenWriteLockLost. */
export type TokenWriteLock = WriteTurn

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
export const ALWAYS_HELD: TokenWriteLock = { assertHeld: () => undefined, othersWrote: false }
