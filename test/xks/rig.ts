import { expect } from 'chai'
import type { Material } from '../../src/crypto/key-custody.ts'
import { compilePolicy } from '../../src/policy/compile-policy.ts'
import { createXksProxy, type XksProxyParts } from '../../src/xks/create-xks-proxy.ts'
import type { ExternalKey } from '../../src/xks/external-key.ts'
import type { ExternalKeyStore } from '../../src/xks/external-key-store.ts'
import type { XksOperation, XksRequest, XksTrail } from '../../src/xks/proxy.ts'
import { XksError, type XksErrorName } from '../../src/xks/xks-error.ts'
import { FakeCustody } from '../support/fake-custody.ts'

export const ALICE = 'arn:aws:iam::123456789012:user/Alice'
export const KMS_KEY = 'arn:aws:kms:us-east-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab'

export const METADATA = {
  awsPrincipalArn: ALICE,
  kmsKeyArn: KMS_KEY,
  kmsOperation: 'Encrypt',
  kmsRequestId: '4112f4d6-db54-4af4-ae30-c55a22a8dfae',
} as const

export const PLAINTEXT = Buffer.from('Hello World!')
export const AAD = Buffer.from('project=nile,department=marketing')

export const ENCRYPT = {
  requestMetadata: METADATA,
  plaintext: PLAINTEXT.toString('base64'),
  additionalAuthenticatedData: AAD.toString('base64'),
  encryptionAlgorithm: 'AES_GCM',
} as const

export const KEY_ID = 'orders'

export interface EncryptReply {
  readonly ciphertext: string
  readonly initializationVector: string
  readonly authenticationTag: string
  readonly ciphertextMetadata: string
  readonly ciphertextDataIntegrityValue?: string
}

/** The four operations on one external key of a FakeCustody. A test changes store and key between calls. */
export class XksRig {
  readonly custody = new FakeCustody()
  store: ExternalKeyStore
  key: ExternalKey
  parts: XksProxyParts
  /** The trail of the last call. */
  trail: XksTrail = emptyTrail()

  constructor(value?: Buffer) {
    const material = this.newMaterial(value)
    this.key = {
      externalKeyId: KEY_ID,
      enabled: true,
      keyUsage: ['ENCRYPT', 'DECRYPT'],
      kmsKeyArn: undefined,
      current: material,
      materials: [material],
      adopted: false,
      opensHashedAad: false,
    }
    this.store = {
      name: 'shop',
      uriPathPrefix: '',
      regions: [],
      enabled: true,
      requestsPerSecond: undefined,
      policy: undefined,
      findKey: (id) => (id === this.key.externalKeyId ? this.key : undefined),
    }
    this.parts = {
      custody: this.custody,
      spend: () => undefined,
      identity: {
        xksProxyFleetSize: 2,
        xksProxyVendor: 'hsm-bridge',
        xksProxyModel: 'hsm-bridge 1.0',
        ekmVendor: 'SoftHSM project',
      },
      health: {
        keyManagers: () => [{ id: '1', model: 'SoftHSM v2 2.6', healthStatus: 'ACTIVE' }],
      },
    }
  }

  newMaterial(value: Buffer = Buffer.alloc(32, 7), materialId?: string): Material {
    return this.custody.put(value, materialId)
  }

  /** New material encrypts from now on. */
  rotate(): void {
    const current = this.newMaterial(Buffer.alloc(32, 8 + this.key.materials.length))
    this.key = { ...this.key, current, materials: [...this.key.materials, current] }
  }

  setPolicy(...statements: object[]): void {
    const text = JSON.stringify({ Version: '2012-10-17', Statement: statements })
    this.store = { ...this.store, policy: compilePolicy(text, 'xks') }
  }

  async perform(
    operation: XksOperation,
    body: unknown,
    changes: Partial<XksRequest> = {},
  ): Promise<string> {
    this.trail = emptyTrail()
    const request: XksRequest = {
      operation,
      store: this.store,
      externalKeyId: operation === 'GetHealthStatus' ? undefined : KEY_ID,
      region: 'us-east-2',
      contentType: 'application/json',
      contentEncoding: undefined,
      body: Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body)),
      ...changes,
    }
    return createXksProxy(this.parts).perform(request, this.trail)
  }

  async encrypt(changes: object = {}): Promise<EncryptReply> {
    return JSON.parse(await this.perform('Encrypt', { ...ENCRYPT, ...changes })) as EncryptReply
  }

  async decrypt(changes: object): Promise<Buffer> {
    const answer = await this.perform('Decrypt', changes)
    const { plaintext, ...rest } = JSON.parse(answer) as { plaintext: string }
    expect(rest).to.deep.equal({})
    return Buffer.from(plaintext, 'base64')
  }
}

/** The Decrypt request that goes with what ENCRYPT was answered. */
export function decryptOf(reply: EncryptReply) {
  const { requestMetadata, additionalAuthenticatedData, encryptionAlgorithm } = ENCRYPT
  const { ciphertext, initializationVector, authenticationTag, ciphertextMetadata } = reply
  return {
    requestMetadata: { ...requestMetadata, kmsOperation: 'Decrypt' },
    additionalAuthenticatedData,
    encryptionAlgorithm,
    ciphertext,
    initializationVector,
    authenticationTag,
    ciphertextMetadata,
  }
}

function emptyTrail(): XksTrail {
  return {
    requestMetadata: undefined,
    materialId: undefined,
    tokenSerial: undefined,
    decision: undefined,
  }
}

/** The XksError that the work ends in; its name and status are asserted, and that its message can go out (XKS X-13). */
export async function refusal(
  work: Promise<unknown>,
  status: number,
  errorName: XksErrorName,
): Promise<XksError> {
  const error = await work.then(
    () => expect.fail('it succeeded'),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof XksError)) throw error
  expect(`${error.status} ${error.errorName}`).to.equal(`${status} ${errorName}`, error.message)
  expect(error.message).to.match(/^[\x20-\x7e]{1,511}$/)
  return error
}
