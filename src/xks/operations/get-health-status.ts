import { parseBody } from '../json-body.ts'
import type { HealthReport, HealthStatus, KeyManagerHealth } from '../key-manager-health.ts'
import type { XksRequest, XksTrail } from '../proxy.ts'
import { readRequestMetadata } from '../read-request-metadata.ts'
import { assertStoreEnabled } from '../use-key.ts'
import { healthAnswer, type ProxyIdentity } from '../wire.ts'
import { XksError } from '../xks-error.ts'

const MAX_KEY_MANAGERS = 10
const WORST_FIRST: readonly HealthStatus[] = ['UNAVAILABLE', 'DEGRADED', 'ACTIVE']

/** From memory, at once, and without secondary authorization (XKS H-04, XKS H-12, XKS Z-04). A dead token is an answer, not an error (XKS H-11). */
export function getHealthStatus(
  identity: ProxyIdentity,
  health: HealthReport,
  request: XksRequest,
  trail: XksTrail,
): string {
  readRequestMetadata('GetHealthStatus', parseBody(request), trail)
  assertStoreEnabled(request.store)
  return healthAnswer(identity, worstOf(health.keyManagers()))
}

/** XKS H-09: one to ten. */
function worstOf(keyManagers: readonly KeyManagerHealth[]): readonly KeyManagerHealth[] {
  if (keyManagers.length === 0)
    throw new XksError('InternalException', 'The proxy has no token to report about.')
  return keyManagers.toSorted((a, b) => badness(a) - badness(b)).slice(0, MAX_KEY_MANAGERS)
}

function badness({ healthStatus }: KeyManagerHealth): number {
  return WORST_FIRST.indexOf(healthStatus)
}
