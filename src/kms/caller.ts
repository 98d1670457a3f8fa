import type { Sensitive } from '../bytes/sensitive.ts'
import type { CompiledPolicy } from '../policy/compiled-policy.ts'

/** Who makes a request, once its signature has been verified. */
export interface Caller {
  readonly accountId: string
  /** `arn:aws:iam::<account>:user/<name>`, `…:role/…` or `…:root`. */
  readonly arn: string
  readonly userName: string
  /** AWS's unique id of the principal, `AIDA…`. */
  readonly userId: string
  readonly accessKeyId: string
  readonly identityPolicies: readonly CompiledPolicy[]
  /** Region of the credential scope: the region that this request speaks to. */
  readonly region: string
}

/** The facts of a request that are not in its body. */
export interface RequestFacts {
  readonly requestId: string
  readonly sourceIp: string
  readonly secureTransport: boolean
  readonly userAgent: string
  /** Epoch milliseconds at which the request arrived. */
  readonly receivedAt: number
}

/** One IAM-like principal as the daemon knows it: from storage or from a seed. */
export interface Principal {
  readonly accountId: string
  readonly arn: string
  readonly userName: string
  readonly userId: string
  readonly accessKeyId: string
  readonly secretAccessKey: Sensitive<string>
  readonly identityPolicies: readonly CompiledPolicy[]
}

/** Where the faces look up who signed a request. */
export interface PrincipalDirectory {
  findPrincipal(accessKeyId: string): Principal | undefined
}
