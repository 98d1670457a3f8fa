import { randomUUID } from 'node:crypto'
import type { CreateKeyRequest, CreateKeyResponse } from '@aws-sdk/client-kms'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import type { Caller } from '../caller.ts'
import type { Tag } from '../key.ts'
import { compileKeyPolicy } from '../key-policies.ts'
import { keyArn } from '../key-id.ts'
import { keyMetadata } from '../key-metadata.ts'
import { isKeySpec, type KeySpec } from '../key-spec.ts'
import { KmsError } from '../kms-error.ts'
import { makeKey, type NewKey } from '../new-key.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { recordChange } from '../record-change.ts'
import {
  addKeyConditions,
  addRequestTags,
  type Conditions,
  requestConditions,
} from '../request-conditions.ts'
import { checkTags } from '../tags.ts'

type Input = Camel<CreateKeyRequest>

export const createKey: Operation<Input> = {
  readOnly: false,
  audited: [
    'description',
    'keyUsage',
    'keySpec',
    'customerMasterKeySpec',
    'origin',
    'multiRegion',
    'tags',
    'policy',
    'bypassPolicyLockoutSafetyCheck',
  ],
  async perform(context, request): Promise<Camel<CreateKeyResponse>> {
    const wanted = wantedKey(request)
    authorizeCreation(request, wanted)
    if (wanted.policy !== undefined) assertPolicyKeepsControl(request, wanted, wanted.policy)
    return makeKey(context, wanted, (draft, key) => {
      const metadata = keyMetadata(key)
      request.trail.resources.push(key.arn)
      request.trail.response = { keyMetadata: metadata }
      recordChange(context, draft, request)
      return { keyMetadata: metadata }
    })
  },
}

function wantedKey({ input, caller }: RequestOf<Input>): NewKey & { readonly keySpec: KeySpec } {
  const keySpec = wantedKeySpec(input)
  if ((input.keyUsage ?? 'ENCRYPT_DECRYPT') !== 'ENCRYPT_DECRYPT')
    throw new KmsError(
      'ValidationException',
      `KeyUsage ${input.keyUsage} is not compatible with KeySpec ${keySpec}`, // KMS-22
    )
  if ((input.origin ?? 'AWS_KMS') !== 'AWS_KMS')
    throw unsupported(`Keys of Origin ${input.origin} are not supported.`)
  if (input.customKeyStoreId !== undefined || input.xksKeyId !== undefined)
    throw unsupported('Custom key stores are not supported.')
  if (input.multiRegion === true) throw unsupported('Multi-Region keys are not supported.')
  return {
    keyId: randomUUID(),
    accountId: caller.accountId,
    region: caller.region,
    keySpec,
    description: input.description,
    policy: input.policy,
    tags: checkTags(input.tags?.map(wantedTag) ?? []),
  }
}

function wantedKeySpec({ keySpec, customerMasterKeySpec }: Input): KeySpec {
  if (keySpec !== undefined && customerMasterKeySpec !== undefined)
    throw new KmsError(
      'ValidationException', // KMS-22
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
    )
  const spec = keySpec ?? customerMasterKeySpec ?? 'SYMMETRIC_DEFAULT'
  if (!isKeySpec(spec)) throw unsupported(`Keys of KeySpec ${spec} are not supported.`)
  return spec
}

function wantedTag({
  tagKey,
  tagValue,
}: {
  tagKey?: string | undefined
  tagValue?: string | undefined
}): Tag {
  return { tagKey: tagKey ?? '', tagValue: tagValue ?? '' }
}

function authorizeCreation(request: RequestOf<Input>, wanted: NewKey): void {
  const tags = wanted.tags ?? []
  const conditions = (conditions: Conditions) => {
    addCreationConditions(conditions, request.input, wanted)
    addRequestTags(conditions, tags)
  }
  // Tags in CreateKey need both permissions, as in AWS.
  if (tags.length > 0) authorizeInAccount(request, 'kms:TagResource', conditions)
  authorizeInAccount(request, 'kms:CreateKey', conditions)
}

function addCreationConditions(conditions: Conditions, input: Input, { keySpec }: NewKey): void {
  addKeyConditions(conditions, { keySpec, keyUsage: 'ENCRYPT_DECRYPT', origin: 'AWS_KMS' })
  conditions.set('kms:bypasspolicylockoutsafetycheck', [
    String(input.bypassPolicyLockoutSafetyCheck ?? false),
  ])
}

/** KMS-58: whoever makes a key must be able to change its policy afterwards, unless it waives that (AT-Z06). */
function assertPolicyKeepsControl(
  { input, caller, facts }: RequestOf<Input>,
  wanted: NewKey,
  policy: string,
): void {
  const compiled = compileKeyPolicy(policy)
  if (input.bypassPolicyLockoutSafetyCheck === true) return
  const conditions = requestConditions(caller, facts)
  addKeyConditions(conditions, {
    keySpec: wanted.keySpec,
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
  })
  const { deny, allows } = compiled.decide({
    principal: caller,
    action: 'kms:PutKeyPolicy',
    resource: ownArn(caller, wanted),
    context: conditions,
  })
  if (deny || allows.length === 0)
    throw new KmsError(
      'MalformedPolicyDocumentException',
      'The new key policy will not allow you to update the key policy in the future.',
    )
}

function ownArn({ region, accountId }: Caller, { keyId }: NewKey): string {
  return keyArn(region, accountId, keyId)
}

function unsupported(message: string): KmsError {
  return new KmsError('UnsupportedOperationException', message)
}
