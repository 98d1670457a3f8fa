import type { ExternalKeyUsage } from './external-key.ts'
import { findText, invalid, type Members, textOf } from './json-body.ts'
import type { KeyManagerHealth } from './key-manager-health.ts'

/** What Encrypt is asked, before its parameters are looked into. */
export interface EncryptInput {
  readonly plaintext: string
  readonly additionalAuthenticatedData: string | undefined
  readonly encryptionAlgorithm: string
  /** Whether the answer needs a ciphertext data integrity value (XKS E-05). */
  readonly wantsCdiv: boolean
}

export function readEncrypt(members: Members): EncryptInput {
  return {
    plaintext: textOf(members, 'plaintext'),
    additionalAuthenticatedData: findText(members, 'additionalAuthenticatedData'),
    encryptionAlgorithm: textOf(members, 'encryptionAlgorithm'),
    wantsCdiv: readCdivAlgorithm(members),
  }
}

function readCdivAlgorithm(members: Members): boolean {
  const algorithm = findText(members, 'ciphertextDataIntegrityValueAlgorithm')
  if (algorithm !== undefined && algorithm !== 'SHA_256')
    throw invalid('ciphertextDataIntegrityValueAlgorithm must be SHA_256.')
  return algorithm !== undefined
}

/** What Decrypt is asked. A CDIV that somebody sends along is ignored (XKS D-11). */
export interface DecryptInput {
  readonly ciphertext: string
  readonly initializationVector: string
  readonly authenticationTag: string
  readonly ciphertextMetadata: string | undefined
  readonly additionalAuthenticatedData: string | undefined
  readonly encryptionAlgorithm: string
}

export function readDecrypt(members: Members): DecryptInput {
  return {
    ciphertext: textOf(members, 'ciphertext'), // XKS D-01
    initializationVector: textOf(members, 'initializationVector'),
    authenticationTag: textOf(members, 'authenticationTag'),
    ciphertextMetadata: findText(members, 'ciphertextMetadata'),
    additionalAuthenticatedData: findText(members, 'additionalAuthenticatedData'),
    encryptionAlgorithm: textOf(members, 'encryptionAlgorithm'), // XKS D-04
  }
}

// Answers are put together by hand: Base64 and our own words need no escaping, and Encrypt is a hot path.

export interface Encrypted {
  readonly ciphertext: Buffer
  readonly initializationVector: Buffer
  readonly authenticationTag: Buffer
  readonly ciphertextMetadata: Buffer
  readonly ciphertextDataIntegrityValue: Buffer | undefined
}

export function encryptAnswer(answer: Encrypted): string {
  const { ciphertextDataIntegrityValue: cdiv } = answer
  const cdivMember = cdiv ? `,"ciphertextDataIntegrityValue":"${cdiv.toString('base64')}"` : ''
  return (
    `{"ciphertext":"${answer.ciphertext.toString('base64')}"` +
    `,"initializationVector":"${answer.initializationVector.toString('base64')}"` +
    `,"authenticationTag":"${answer.authenticationTag.toString('base64')}"` +
    `,"ciphertextMetadata":"${answer.ciphertextMetadata.toString('base64')}"${cdivMember}}`
  )
}

export function decryptAnswer(plaintext: Buffer): string {
  return `{"plaintext":"${plaintext.toString('base64')}"}`
}

/** XKS G-01, XKS G-02: every external key of ours is a 256-bit AES key. */
export function keyMetadataAnswer(keyUsage: readonly ExternalKeyUsage[], enabled: boolean): string {
  return JSON.stringify({
    keySpec: 'AES_256',
    keyUsage,
    keyStatus: enabled ? 'ENABLED' : 'DISABLED', // XKS G-05
  })
}

/** Who answers: the members of GetHealthStatus that never change. */
export interface ProxyIdentity {
  /** An integer over zero (XKS H-06). */
  readonly xksProxyFleetSize: number
  readonly xksProxyVendor: string
  /** Product and version (XKS H-08). */
  readonly xksProxyModel: string
  readonly ekmVendor: string
}

export function healthAnswer(
  { xksProxyFleetSize, xksProxyVendor, xksProxyModel, ekmVendor }: ProxyIdentity,
  keyManagers: readonly KeyManagerHealth[],
): string {
  return JSON.stringify({
    xksProxyFleetSize,
    xksProxyVendor,
    xksProxyModel,
    ekmVendor,
    ekmFleetDetails: keyManagers.map(({ id, model, healthStatus }) => ({
      id,
      model,
      healthStatus,
    })),
  })
}
