import { compilePolicy } from '../policy/compile-policy.ts'
import type { PrincipalRecord, StorageDraft } from '../storage/storage.ts'
import { type AccessKey, drawUserId } from './aws-profile.ts'
import type { Installation } from './installation.ts'

/** A user to be made, or to be given another access key. */
export interface PrincipalWish {
  readonly accountId: string
  readonly userName: string
  readonly accessKey: AccessKey
  /** Identity policy documents; undefined keeps what the user has. */
  readonly policies: readonly string[] | undefined
}

/** Identity policy of the first administrator. */
export const ADMINISTRATOR_POLICY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: 'kms:*', Resource: '*' }],
})

/** IAM's rule for user names; no slash, so that the ARN has one reading. */
export const USER_NAME = /^[\w+=,.@-]{1,64}$/

export function userArn(accountId: string, userName: string): string {
  return `arn:aws:iam::${accountId}:user/${userName}`
}

/**
 * Puts the user's access key into storage, its secret sealed by the host key. Throws PolicyError for a policy that is not
 * understood, and Error when the access key belongs to somebody else.
 */
export async function putPrincipal(
  { storage, seal }: Pick<Installation, 'storage' | 'seal'>,
  wish: PrincipalWish,
): Promise<PrincipalRecord> {
  for (const policy of wish.policies ?? []) compilePolicy(policy, 'identity')
  const { accessKeyId, secretAccessKey } = wish.accessKey
  const arn = userArn(wish.accountId, wish.userName)
  const sealedSecret = seal.seal(secretAccessKey, accessKeyId)
  return await storage.change((draft) => {
    const holder = draft.findPrincipal(accessKeyId)
    if (holder && holder.arn !== arn) throw new Error(`${accessKeyId} belongs to ${holder.arn}`)
    const others = [...storage.snapshot.allPrincipals()].filter((other) => other.arn === arn)
    const record: PrincipalRecord = {
      accessKeyId,
      accountId: wish.accountId,
      arn,
      userName: wish.userName,
      userId: others[0]?.userId ?? drawUserId(),
      sealedSecret,
      identityPolicies: wish.policies ?? others[0]?.identityPolicies ?? [],
    }
    draft.putPrincipal(record)
    if (wish.policies) alignPolicies(draft, others, wish.policies, accessKeyId)
    return record
  })
}

/** A user's policies are the user's, whichever access key signs. */
function alignPolicies(
  draft: StorageDraft,
  others: readonly PrincipalRecord[],
  identityPolicies: readonly string[],
  exceptKey: string,
): void {
  for (const other of others) {
    if (other.accessKeyId !== exceptKey) draft.putPrincipal({ ...other, identityPolicies })
  }
}
