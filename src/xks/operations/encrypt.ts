import type { KeyCustody, Sealed, VerifiedSealed } from '../../crypto/key-custody.ts'
import { gcmAad } from '../aad.ts'
import { cdivPrefix } from '../cdiv.ts'
import { ciphertextMetadata } from '../ciphertext-metadata.ts'
import type { ExternalKey } from '../external-key.ts'
import type { ExternalKeyStore } from '../external-key-store.ts'
import { parseBody } from '../json-body.ts'
import { type EncryptParameters, encryptParameters, IV_BYTES, TAG_BYTES } from '../parameters.ts'
import type { XksRequest, XksTrail } from '../proxy.ts'
import { readRequestMetadata } from '../read-request-metadata.ts'
import { authorize } from '../secondary-authorization.ts'
import { assertEnabled, assertUsage, brokenResult, getKey, noteMaterial } from '../use-key.ts'
import { encryptAnswer, readEncrypt } from '../wire.ts'

/** Takes one encryption under the key's current material; rejects with InvalidStateException when it is used up. */
export type Spend = (store: ExternalKeyStore, key: ExternalKey) => Promise<void> | undefined

const NO_IV = Buffer.alloc(Math.max(...IV_BYTES))

/** The steps of XKS 1.9 from the body on. */
export async function encrypt(
  custody: KeyCustody,
  spend: Spend,
  request: XksRequest,
  trail: XksTrail,
): Promise<string> {
  const { store } = request
  const body = parseBody(request)
  const metadata = readRequestMetadata('Encrypt', body, trail)
  const input = readEncrypt(body)
  const key = getKey(request)
  authorize(request, key, metadata, trail)
  assertEnabled(store, key)
  const parameters = encryptParameters(input)
  try {
    request.admit?.() // XKS X-09
    assertUsage(key, 'ENCRYPT')
    if (input.wantsCdiv) assertUsage(key, 'DECRYPT') // XKS E-17: the answer is verified by decrypting it
    noteMaterial(trail, key.current)
    await spend(store, key)
    return await seal(custody, key, parameters, input.wantsCdiv)
  } finally {
    parameters.plaintext.fill(0) // XKS E-18
  }
}

async function seal(
  custody: KeyCustody,
  { current }: ExternalKey,
  { plaintext, aad }: EncryptParameters,
  wantsCdiv: boolean,
): Promise<string> {
  const metadata = ciphertextMetadata(current)
  const tokenAad = gcmAad(aad, metadata) // XKS E-10
  const sealed: Sealed & Partial<VerifiedSealed> = wantsCdiv
    ? await custody.encryptVerified(current, plaintext, tokenAad, cdivPrefix(aad, metadata))
    : await custody.encrypt(current, plaintext, tokenAad)
  assertSealed(sealed, plaintext.length)
  return encryptAnswer({
    ciphertext: sealed.ciphertext.subarray(0, -TAG_BYTES), // XKS E-07
    initializationVector: sealed.iv,
    authenticationTag: sealed.ciphertext.subarray(-TAG_BYTES),
    ciphertextMetadata: metadata,
    ciphertextDataIntegrityValue: sealed.digest,
  })
}

/** Others keep the ciphertext for years: what is not as it must be is not handed out. */
function assertSealed({ iv, ciphertext }: Sealed, plaintextBytes: number): void {
  if (ciphertext.length !== plaintextBytes + TAG_BYTES) throw brokenResult('length') // XKS E-06
  if (!IV_BYTES.includes(iv.length)) throw brokenResult('IV of another length') // XKS E-08
  if (iv.equals(NO_IV.subarray(0, iv.length))) throw brokenResult('IV all zero') // XKS E-08
}
