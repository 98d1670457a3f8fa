import type { Pkcs11Module, SlotHandle, TokenInfo } from '../pkcs11/pkcs11-module.ts'
import { openModule } from '../pkcs11/pkcs11-module.ts'
import type { Session } from '../pkcs11/session.ts'
import { findSoftHsmTokenDirectory, guardLogin } from './guarded-files.ts'
import { fault, laneErrorOf } from './lane-fault.ts'
import type { StartRequest } from './lane-protocol.ts'

/** A session on loan for one call. Whoever saw an error renews it before the next native call. */
export interface Lease {
  readonly session: Session
  /** Closes the session and opens another. */
  renew(): void
}

/** The module, the one login of this process, and its sessions. */
export class LaneToken {
  readonly #request: StartRequest
  readonly #module: Pkcs11Module
  readonly #slot: SlotHandle
  /** Never closed while the lane lives: with its last session a process is logged out, and every handle is stale (FM-F06). */
  #anchor: Session
  #idle: Session[] = []
  readonly info: TokenInfo
  readonly restoredFiles: readonly string[]

  /** Loads the module, finds the token by its serial number and logs in once (ARCH-D4). Throws LaneError. */
  static open(request: StartRequest, deadlineAt: number): LaneToken {
    return guarded(request, deadlineAt, (restored) => new LaneToken(request, restored))
  }

  private constructor(request: StartRequest, restoredFiles: readonly string[]) {
    this.#request = request
    this.restoredFiles = restoredFiles
    this.#module = openModule(request)
    this.#slot = this.#module.slotOf({ serial: request.tokenSerial })
    this.info = this.#tokenInfo()
    this.#anchor = this.openSession()
    this.#logIn()
  }

  openSession(): Session {
    return this.#module.openSession(this.#slot, { readWrite: this.#request.role === 'cold' })
  }

  take(): Lease {
    let session = this.#idle.pop() ?? this.openSession()
    return {
      get session() {
        return session
      },
      renew: () => {
        session.close()
        session = this.openSession()
      },
    }
  }

  /** A session that saw an error is closed: an operation may have stayed active in it (ARCH-D3). */
  giveBack({ session }: Lease): void {
    if (session.tainted) session.close()
    else this.#idle.push(session)
  }

  /** Opens the sessions that the lane is going to need, so that no request waits for one. */
  warm(sessions: number): void {
    while (this.#idle.length < sessions) this.#idle.push(this.openSession())
  }

  /** Fresh sessions, and one login if the process has lost its own (FM-F05). Never with calls under way. */
  recover(deadlineAt: number): void {
    for (const session of this.#idle) session.close()
    this.#idle = []
    if (this.#tokenInfo().serial !== this.#request.tokenSerial)
      throw fault('DEVICE_GONE', 'replace', 'the slot holds another token now') // FM-F03
    if (this.#anchorLives()) return
    guarded(this.#request, deadlineAt, () => {
      this.#anchor.close()
      this.#anchor = this.openSession()
      if (!this.#anchor.isLoggedIn()) this.#logIn()
    })
  }

  #anchorLives(): boolean {
    try {
      return this.#anchor.isLoggedIn()
    } catch {
      return false
    }
  }

  #tokenInfo(): TokenInfo {
    return this.#module.tokenInfo(this.#slot)
  }

  /** One attempt, and none at all where it could be the one that locks the PIN (ARCH-D4). */
  #logIn(): void {
    const refusal = findLoginRefusal(this.#tokenInfo())
    if (refusal !== undefined) throw fault('LOGIN_REFUSED', 'keep', refusal)
    this.#module.login(this.#anchor, this.#request.pin)
  }
}

/** Why nobody should try a PIN on this token now, if so (FM-R4). */
export function findLoginRefusal(
  token: Pick<TokenInfo, 'userPinLocked' | 'userPinFinalTry'>,
): string | undefined {
  if (token.userPinLocked) return 'the PIN of the token is locked'
  if (token.userPinFinalTry)
    return 'one more wrong PIN would lock the token: log in with its own tool first'
  return undefined
}

/** Around a login: copies, restores and serialises where this token's login rewrites files in place. */
function guarded<T>(
  { profile, guardDirectory }: StartRequest,
  deadlineAt: number,
  login: (restoredFiles: readonly string[]) => T,
): T {
  try {
    const globs = profile.loginRewritesFiles
    const tokenDirectory = globs.length > 0 ? findSoftHsmTokenDirectory(process.env) : undefined
    if (tokenDirectory === undefined) return login([])
    return guardLogin({ tokenDirectory, globs, guardDirectory }, deadlineAt, login)
  } catch (error) {
    throw laneErrorOf(error, { code: 'DEVICE_GONE', advice: 'replace' })
  }
}
