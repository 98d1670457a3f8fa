import type { KeyMetadata as AwsKeyMetadata } from '@aws-sdk/client-kms'
import type { Camel } from './camel.ts'
import type { Key } from './key.ts'
import { KEY_SPECS } from './key-spec.ts'
import { wireState } from './key-state.ts'

export type KeyMetadata = Camel<AwsKeyMetadata>

/** A key as CreateKey and DescribeKey show it: exactly the members that AWS sends for such a key (KMS-15). */
export function keyMetadata(key: Key): KeyMetadata {
  if (key.origin !== 'AWS_KMS') throw new TypeError(`${key.arn} is no KMS key`)
  return {
    awsAccountId: key.accountId,
    keyId: key.keyId, // bare here, the ARN everywhere else (kms-facts 12)
    arn: key.arn,
    creationDate: new Date(key.createdAt),
    enabled: key.state === 'Enabled',
    description: key.description,
    keyUsage: key.keyUsage,
    keyState: wireState(key.state),
    ...(key.deletionAt !== undefined && { deletionDate: new Date(key.deletionAt) }),
    origin: key.origin,
    keyManager: 'CUSTOMER',
    customerMasterKeySpec: key.keySpec,
    keySpec: key.keySpec,
    encryptionAlgorithms: [...KEY_SPECS[key.keySpec].encryptionAlgorithms],
    multiRegion: false,
    currentKeyMaterialId: key.currentMaterialId, // KMS-16
  }
}
