import { randomUUID } from 'node:crypto'
import type { CreateKeyRequest, CreateKeyResponse } from '@aws-sdk/client-kms'
import { authorizeInAccount } from '../authorize.ts'
import type { Camel } from '../camel.ts'
import { compileKeyPolicy } from '../key-policies.ts'
import { keyArn } from '../key-id.ts'
import { keyMetadata } from '../key-metadata.ts'
import { isKeySpec, type KeySpec } from '../key-spec.ts'
import type { KmsContext } from '../kms-context.ts'
import { KmsError } from '../kms-error.ts'
import { makeKey, type NewKey } from '../new-key.ts'
import type { Operation, RequestOf } from '../operation.ts'
import { assertKeepsControl } from '../policy-lockout.ts'
import { recordChange } from '../record-change.ts'
import { addKeyConditions, addRequestTags, type Conditions } from '../request-conditions.ts'
import { assertRoom } from '../resource-quotas.ts'
import { checkTags, readTags } from '../tags.ts'

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
    const wanted = wantedKey(context, request)
    authorizeCreation(request, wanted)
    if (wanted.policy !== undefined) assertPolicyKeepsControl(request, wanted, wanted.policy)
    const { accountId, region } = wanted
    assertRoom(
      context.resourceQuotas,
      'keys',
      context.storage.snapshot.countKeysIn(accountId, region),
    )
    return makeKey(context, wanted, (draft, key) => {
      const metadata = keyMetadata(key)
      request.trail.resources.push(key.arn)
      request.trail.response = { keyMetadata: metadata }
      recordChange(context, draft, request)
      return { keyMetadata: metadata }
    })
  },
}

function wantedKey(
  { resourceQuotas }: KmsContext,
  { input, caller }: RequestOf<Input>,
): NewKey & { readonly keySpec: KeySpec } {
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
    tags: checkTags(readTags(input.tags), resourceQuotas),
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

function assertPolicyKeepsControl(
  request: RequestOf<Input>,
  { region, accountId, keyId, keySpec, tags = [] }: NewKey,
  policy: string,
): void {
  const compiled = compileKeyPolicy(policy)
  if (request.input.bypassPolicyLockoutSafetyCheck === true) return
  assertKeepsControl(compiled, request, {
    arn: keyArn(region, accountId, keyId),
    keySpec,
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
    tags,
    aliases: [],
  })
}

function unsupported(message: string): KmsError {
  return new KmsError('UnsupportedOperationException', message)
}
