import { ownAliasArn } from './alias-name.ts'
import { type Action, authorizeInAccount } from './authorize.ts'
import { decideOnce } from './change-key.ts'
import type { KmsContext } from './kms-context.ts'
import type { RequestOf } from './operation.ts'

/**
 * What every change of an alias begins with: the caller needs permission on the alias itself, and the answer says how it is asked for
 * on the keys behind it. Throws AccessDeniedException.
 */
export function beginAliasChange(
  context: KmsContext,
  request: RequestOf<{ readonly aliasName?: string | undefined }>,
  action: Action,
) {
  const aliasArn = ownAliasArn(request.input.aliasName ?? '', request.caller)
  request.trail.resources.push(aliasArn)
  authorizeInAccount(request, action, undefined, aliasArn)
  return { aliasArn, permitted: decideOnce(context, request, action) }
}
