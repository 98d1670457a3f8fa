import { type CatchUp, withConfirmedAbsence } from './absence.ts'
import { CustodyError } from '../crypto/custody-error.ts'
import type { KeyCustody } from '../crypto/key-custody.ts'
import { xksErrorOf } from './custody-failures.ts'
import { DeadlineWatch } from './deadline-watch.ts'
import type { HealthReport } from './key-manager-health.ts'
import { decrypt } from './operations/decrypt.ts'
import { encrypt, type Spend } from './operations/encrypt.ts'
import { getHealthStatus } from './operations/get-health-status.ts'
import { getKeyMetadata } from './operations/get-key-metadata.ts'
import type { XksProxy, XksRequest, XksTrail } from './proxy.ts'
import type { ProxyIdentity } from './wire.ts'
import { XksError } from './xks-error.ts'

export interface XksProxyParts {
  readonly custody: KeyCustody
  readonly health: HealthReport
  readonly spend: Spend
  readonly identity: ProxyIdentity
  /** Asked before something is called absent. Without it what the directory shows is all there is. */
  readonly catchUp?: CatchUp
  /** AWS KMS waits for 250 ms: an answer after this many milliseconds is DependencyTimeoutException. Default: whatever the parts take. */
  readonly deadlineMs?: number
}

/** Carries out steps 8 to 14 of the order of errors (XKS 1.9). */
export function createXksProxy(parts: XksProxyParts): XksProxy {
  const { deadlineMs = Number.POSITIVE_INFINITY } = parts
  const watch = new DeadlineWatch(deadlineMs)
  return {
    async perform(request, trail) {
      try {
        const answer = withConfirmedAbsence(() => carryOut(parts, request, trail), parts.catchUp)
        // XKS X-11: the work goes on and cleans up after itself; nobody hears of it any more, but its place stays taken.
        return await watch.within(answer, () => {
          request.goesOn?.(answer)
          return new XksError('DependencyTimeoutException')
        })
      } catch (error) {
        throw error instanceof CustodyError ? xksErrorOf(error, request.operation) : error
      }
    },
  }
}

function carryOut(
  { custody, spend, identity, health }: XksProxyParts,
  request: XksRequest,
  trail: XksTrail,
): string | Promise<string> {
  switch (request.operation) {
    case 'Encrypt':
      return encrypt(custody, spend, request, trail)
    case 'Decrypt':
      return decrypt(custody, request, trail)
    case 'GetKeyMetadata':
      return getKeyMetadata(request, trail)
    case 'GetHealthStatus':
      return getHealthStatus(identity, health, request, trail)
  }
}
