import type { KeyCustody, Material, Sealed, VerifiedSealed } from '../../crypto/key-custody.ts'
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
    const spending = spend(store, key)
    if (spending) await spending
    const sealed = await seal(custody, key.current, parameters, input.wantsCdiv)
    assertSealed(sealed, parameters.plaintext.length)
    return answerOf(sealed, key.current)
  } finally {
    parameters.plaintext.fill(0) // XKS E-18
  }
}

function seal(
  custody: KeyCustody,
  material: Material,
  { plaintext, aad }: EncryptParameters,
  wantsCdiv: boolean,
): Promise<Sealed & Partial<VerifiedSealed>> {
  const metadata = ciphertextMetadata(material)
  const tokenAad = gcmAad(aad, metadata) // XKS E-10
  return wantsCdiv
    ? custody.encryptVerified(material, plaintext, tokenAad, cdivPrefix(aad, metadata))
    : custody.encrypt(material, plaintext, tokenAad)
}

function answerOf(
  { iv, ciphertext, digest }: Sealed & Partial<VerifiedSealed>,
  material: Material,
): string {
  return encryptAnswer({
    ciphertext: ciphertext.subarray(0, -TAG_BYTES), // XKS E-07
    initializationVector: iv,
    authenticationTag: ciphertext.subarray(-TAG_BYTES),
    ciphertextMetadata: ciphertextMetadata(material),
    ciphertextDataIntegrityValue: digest,
  })
}

/** Others keep the ciphertext for years: what is not as it must be is not handed out. */
function assertSealed({ iv, ciphertext }: Sealed, plaintextBytes: number): void {
  if (ciphertext.length !== plaintextBytes + TAG_BYTES) throw brokenResult('length') // XKS E-06
  if (!IV_BYTES.includes(iv.length)) throw brokenResult('IV of another length') // XKS E-08
  if (iv.equals(NO_IV.subarray(0, iv.length))) throw brokenResult('IV all zero') // XKS E-08
}
