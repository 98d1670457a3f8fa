import type { Caller } from './caller.ts'
import { ALIAS_PREFIX, aliasArn } from './key-id.ts'
import { KmsError } from './kms-error.ts'

/**
 * Checks the name of an alias that somebody wants to make, move or remove, and gives its ARN in the caller's account and region.
 * Throws ValidationException, InvalidAliasNameException, or for AWS's own names NotAuthorizedException without a message (KMS-61).
 */
export function ownAliasArn(
  aliasName: string,
  { region, accountId }: Pick<Caller, 'region' | 'accountId'>,
): string {
  if (!aliasName.startsWith(ALIAS_PREFIX))
    throw new KmsError(
      'ValidationException',
      'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html',
    )
  if (aliasName.startsWith(`${ALIAS_PREFIX}aws/`)) throw new KmsError('NotAuthorizedException')
  if (aliasName === ALIAS_PREFIX) throw new KmsError('InvalidAliasNameException')
  // AWS's pattern for the member takes a colon, its check of the name does not.
  if (aliasName.includes(':'))
    throw new KmsError(
      'ValidationException',
      `${aliasName} contains invalid characters for an alias`,
    )
  return aliasArn(region, accountId, aliasName)
}
