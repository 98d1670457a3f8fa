import * as client from '@aws-sdk/client-kms'

/** What a value of a shape must satisfy. `min` and `max` bound a number, or the length of anything else. */
export interface Constraint {
  readonly min?: number
  readonly max?: number
  /** The whole text must match, as AWS prints it. */
  readonly pattern?: string
  readonly values?: readonly string[]
  /** Shape of the members of a list. */
  readonly members?: string
}

// KMS-7: AWS prints enum sets in an order of its own. Recorded ones come first in their order, then what is newer than the
// recording; SM2 exists in China regions only and was in no recorded set.
const KEY_SPECS = [
  'RSA_2048',
  'ECC_NIST_P384',
  'ECC_NIST_P256',
  'ECC_NIST_P521',
  'HMAC_384',
  'RSA_3072',
  'ECC_SECG_P256K1',
  'RSA_4096',
  'SYMMETRIC_DEFAULT',
  'HMAC_256',
  'HMAC_224',
  'HMAC_512',
] as const satisfies readonly client.KeySpec[]
const NEWER_KEY_SPECS = [
  'ML_DSA_44',
  'ML_DSA_65',
  'ML_DSA_87',
  'ECC_NIST_EDWARDS25519',
  'ML_KEM_512',
  'ML_KEM_768',
  'ML_KEM_1024',
] as const satisfies readonly client.KeySpec[]
const MAC_ALGORITHMS = [
  'HMAC_SHA_384',
  'HMAC_SHA_256',
  'HMAC_SHA_224',
  'HMAC_SHA_512',
] as const satisfies readonly client.MacAlgorithmSpec[]
const MESSAGE_TYPES = [
  'DIGEST',
  'RAW',
  'EXTERNAL_MU',
] as const satisfies readonly client.MessageType[]

/**
 * Every shape of KMS's requests that constrains its values, by AWS's name of the shape: botocore's service model of 2026-08,
 * and the SDK's for the operations that are newer. The SDK's own schemas do not carry these facts.
 */
export const CONSTRAINTS = {
  AccountIdType: { min: 12, max: 12, pattern: '[0-9]{12}' },
  AlgorithmSpec: { values: Object.values(client.AlgorithmSpec) },
  AliasNameType: { min: 1, max: 256, pattern: '^[a-zA-Z0-9:/_-]+$' },
  AttestationDocumentType: { min: 1, max: 262144 },
  BackingKeyIdType: { min: 64, max: 64, pattern: '^[a-f0-9]+$' },
  CiphertextType: { min: 1, max: 6144 },
  CloudHsmClusterIdType: { min: 19, max: 24, pattern: 'cluster-[2-7a-zA-Z]{11,16}' },
  CustomKeyStoreIdType: { min: 1, max: 64 },
  CustomKeyStoreNameType: { min: 1, max: 256 },
  CustomKeyStoreType: { values: Object.values(client.CustomKeyStoreType) },
  CustomerMasterKeySpec: { values: KEY_SPECS },
  DataKeyPairSpec: { values: Object.values(client.DataKeyPairSpec) },
  DataKeySpec: { values: ['AES_256', 'AES_128'] },
  DescriptionType: { min: 0, max: 8192 },
  DryRunModifierList: { members: 'DryRunModifierType' },
  DryRunModifierType: { values: Object.values(client.DryRunModifierType) },
  EncapsulationAlgorithmSpec: { values: Object.values(client.EncapsulationAlgorithmSpec) },
  EncryptionAlgorithmSpec: {
    values: ['SYMMETRIC_DEFAULT', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE'],
  },
  ExpirationModelType: { values: ['KEY_MATERIAL_EXPIRES', 'KEY_MATERIAL_DOES_NOT_EXPIRE'] },
  GrantConstraintSourceArnType: {
    min: 20,
    max: 512,
    pattern: '^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$',
  },
  GrantIdType: { min: 1, max: 128 },
  GrantNameType: { min: 1, max: 256, pattern: '^[a-zA-Z0-9:/_-]+$' },
  GrantOperation: { values: Object.values(client.GrantOperation) },
  GrantOperationList: { members: 'GrantOperation' },
  GrantTokenList: { min: 0, max: 10, members: 'GrantTokenType' },
  GrantTokenType: { min: 1, max: 8192 },
  ImportType: { values: ['NEW_KEY_MATERIAL', 'EXISTING_KEY_MATERIAL'] },
  IncludeKeyMaterial: { values: ['ALL_KEY_MATERIAL', 'ROTATIONS_ONLY'] },
  KeyAgreementAlgorithmSpec: { values: ['ECDH'] },
  KeyEncryptionMechanism: { values: ['RSAES_OAEP_SHA_256'] },
  KeyIdType: { min: 1, max: 2048 },
  KeyMaterialDescriptionType: { min: 0, max: 256, pattern: '^[a-zA-Z0-9:/_\\s.-]+$' },
  KeySpec: { values: [...KEY_SPECS, ...NEWER_KEY_SPECS] },
  KeyStorePasswordType: { min: 7, max: 32 },
  KeyUsageType: {
    values: [
      'SIGN_VERIFY',
      'ENCRYPT_DECRYPT',
      'GENERATE_VERIFY_MAC',
      'KEY_AGREEMENT',
      'ENCAPSULATE_DECAPSULATE',
    ],
  },
  LimitType: { min: 1, max: 1000 },
  MacAlgorithmSpec: { values: MAC_ALGORITHMS },
  MarkerType: { min: 1, max: 1024, pattern: '[\\u0020-\\u00FF]*' },
  MessageType: { values: MESSAGE_TYPES },
  NumberOfBytesType: { min: 1, max: 1024 },
  OriginType: { values: ['AWS_KMS', 'EXTERNAL', 'AWS_CLOUDHSM', 'EXTERNAL_KEY_STORE'] },
  PendingWindowInDaysType: { min: 1, max: 365 },
  PlaintextType: { min: 1, max: 4096 },
  PolicyNameType: { min: 1, max: 128, pattern: '[\\w]+' },
  PolicyType: { min: 1, max: 131072, pattern: '[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+' },
  PrincipalIdType: { min: 1, max: 256, pattern: '^[\\w+=,.@:/-]+$' },
  PublicKeyType: { min: 1, max: 8192 },
  RegionType: { min: 1, max: 32, pattern: '^([a-z]+-){2,3}\\d+$' },
  RotationPeriodInDaysType: { min: 90, max: 2560 },
  ServicePrincipalType: {
    min: 1,
    max: 128,
    pattern: '^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$',
  },
  SigningAlgorithmSpec: { values: Object.values(client.SigningAlgorithmSpec) },
  TagKeyList: { members: 'TagKeyType' },
  TagKeyType: { min: 1, max: 128 },
  TagValueType: { min: 0, max: 256 },
  TrustAnchorCertificateType: { min: 1, max: 5000 },
  WrappingKeySpec: { values: ['RSA_2048', 'RSA_3072', 'RSA_4096', 'SM2'] },
  XksKeyIdType: { min: 1, max: 128, pattern: '^[a-zA-Z0-9-_.]+$' },
  XksProxyAuthenticationAccessKeyIdType: { min: 20, max: 30, pattern: '^[A-Z2-7]+$' },
  XksProxyAuthenticationRawSecretAccessKeyType: {
    min: 43,
    max: 64,
    pattern: '^[a-zA-Z0-9\\/+=]+$',
  },
  XksProxyConnectivityType: { values: Object.values(client.XksProxyConnectivityType) },
  XksProxyUriEndpointType: { min: 10, max: 128, pattern: '^https://[a-zA-Z0-9.-]+$' },
  XksProxyUriPathType: {
    min: 10,
    max: 128,
    pattern: '^(/[a-zA-Z0-9\\/_-]+/kms/xks/v\\d{1,2})$|^(/kms/xks/v\\d{1,2})$',
  },
  XksProxyVpcEndpointServiceNameType: {
    min: 20,
    max: 64,
    pattern: '^(com|eu)\\.amazonaws\\.vpce\\.([a-z]+-){2,3}\\d+\\.vpce-svc-[0-9a-z]+$',
  },
} as const satisfies Record<string, Constraint>

export type ConstrainedShape = keyof typeof CONSTRAINTS

/**
 * Which shape a request member has: the SDK's schemas know only that it is a string. A member name means one shape in all of
 * KMS, but for KeySpec, where the structure decides.
 */
export const MEMBER_SHAPES = {
  AccessKeyId: 'XksProxyAuthenticationAccessKeyIdType',
  AliasName: 'AliasNameType',
  AttestationDocument: 'AttestationDocumentType',
  CiphertextBlob: 'CiphertextType',
  CloudHsmClusterId: 'CloudHsmClusterIdType',
  CustomKeyStoreId: 'CustomKeyStoreIdType',
  CustomKeyStoreName: 'CustomKeyStoreNameType',
  CustomKeyStoreType: 'CustomKeyStoreType',
  CustomerMasterKeySpec: 'CustomerMasterKeySpec',
  Description: 'DescriptionType',
  DestinationEncryptionAlgorithm: 'EncryptionAlgorithmSpec',
  DestinationKeyId: 'KeyIdType',
  DryRunModifiers: 'DryRunModifierList',
  EncapsulationAlgorithm: 'EncapsulationAlgorithmSpec',
  EncryptedKeyMaterial: 'CiphertextType',
  EncryptionAlgorithm: 'EncryptionAlgorithmSpec',
  ExpirationModel: 'ExpirationModelType',
  GrantId: 'GrantIdType',
  GrantToken: 'GrantTokenType',
  GrantTokens: 'GrantTokenList',
  GranteePrincipal: 'PrincipalIdType',
  GranteeServicePrincipal: 'ServicePrincipalType',
  ImportToken: 'CiphertextType',
  ImportType: 'ImportType',
  IncludeKeyMaterial: 'IncludeKeyMaterial',
  KeyAgreementAlgorithm: 'KeyAgreementAlgorithmSpec',
  KeyEncryptionAlgorithm: 'KeyEncryptionMechanism',
  KeyId: 'KeyIdType',
  KeyMaterialDescription: 'KeyMaterialDescriptionType',
  KeyMaterialId: 'BackingKeyIdType',
  KeyPairSpec: 'DataKeyPairSpec',
  KeySpec: 'KeySpec',
  'GenerateDataKeyRequest.KeySpec': 'DataKeySpec',
  'GenerateDataKeyWithoutPlaintextRequest.KeySpec': 'DataKeySpec',
  KeyStorePassword: 'KeyStorePasswordType',
  KeyUsage: 'KeyUsageType',
  Limit: 'LimitType',
  Mac: 'CiphertextType',
  MacAlgorithm: 'MacAlgorithmSpec',
  Marker: 'MarkerType',
  Message: 'PlaintextType',
  MessageType: 'MessageType',
  Name: 'GrantNameType',
  NewCustomKeyStoreName: 'CustomKeyStoreNameType',
  NumberOfBytes: 'NumberOfBytesType',
  Operations: 'GrantOperationList',
  Origin: 'OriginType',
  PendingWindowInDays: 'PendingWindowInDaysType',
  Plaintext: 'PlaintextType',
  Policy: 'PolicyType',
  PolicyName: 'PolicyNameType',
  PrimaryRegion: 'RegionType',
  PublicKey: 'PublicKeyType',
  RawSecretAccessKey: 'XksProxyAuthenticationRawSecretAccessKeyType',
  ReplicaRegion: 'RegionType',
  RetiringPrincipal: 'PrincipalIdType',
  RetiringServicePrincipal: 'ServicePrincipalType',
  RotationPeriodInDays: 'RotationPeriodInDaysType',
  SharedSecretCiphertextBlob: 'CiphertextType',
  Signature: 'CiphertextType',
  SigningAlgorithm: 'SigningAlgorithmSpec',
  SourceArn: 'GrantConstraintSourceArnType',
  SourceEncryptionAlgorithm: 'EncryptionAlgorithmSpec',
  SourceKeyId: 'KeyIdType',
  TagKey: 'TagKeyType',
  TagKeys: 'TagKeyList',
  TagValue: 'TagValueType',
  TargetKeyId: 'KeyIdType',
  TrustAnchorCertificate: 'TrustAnchorCertificateType',
  WrappingAlgorithm: 'AlgorithmSpec',
  WrappingKeySpec: 'WrappingKeySpec',
  XksKeyId: 'XksKeyIdType',
  XksProxyConnectivity: 'XksProxyConnectivityType',
  XksProxyUriEndpoint: 'XksProxyUriEndpointType',
  XksProxyUriPath: 'XksProxyUriPathType',
  XksProxyVpcEndpointServiceName: 'XksProxyVpcEndpointServiceNameType',
  XksProxyVpcEndpointServiceOwner: 'AccountIdType',
} as const satisfies Record<string, ConstrainedShape>

/** The constraint of a member as it stands in a structure, if AWS puts one on it. */
export function findMemberConstraint(structure: string, member: string): Constraint | undefined {
  const own = `${structure}.${member}`
  const shape = Object.hasOwn(MEMBER_SHAPES, own) ? own : member
  if (!Object.hasOwn(MEMBER_SHAPES, shape)) return undefined
  return CONSTRAINTS[MEMBER_SHAPES[shape as keyof typeof MEMBER_SHAPES]]
}
