import { type CiphertextBlob, parseCiphertextBlob } from '../kms/ciphertext-blob.ts'
import type { KeyMaterial } from '../kms/key.ts'
import { KmsError } from '../kms/kms-error.ts'
import type { Installation } from './installation.ts'
import { type MaterialReport, reportMaterial } from './key-report.ts'

/** What a ciphertext says of itself, whose it is, and whether Decrypt would get past everything but its context. */
export interface BlobReport {
  /** False: damaged, or no ciphertext of ours. Then nothing else is known. */
  readonly headerIntact: boolean
  readonly version?: number
  readonly scheme?: string
  readonly materialId?: string
  readonly ivBytes?: number
  readonly ciphertextBytes?: number
  readonly keyArn?: string
  readonly keyState?: string
  readonly material?: MaterialReport
  readonly wouldOpen: boolean
  readonly because: string
}

export async function reportBlob(installation: Installation, blob: Buffer): Promise<BlobReport> {
  const parsed = findIntactBlob(blob)
  if (!parsed) {
    return {
      headerIntact: false,
      wouldOpen: false,
      because: 'the header is damaged, or this is no ciphertext of hsm-bridge',
    }
  }
  const { snapshot } = installation.storage
  const facts = {
    headerIntact: true,
    version: parsed.version,
    scheme: parsed.scheme,
    materialId: parsed.materialId,
    ivBytes: parsed.sealed.iv.length,
    ciphertextBytes: parsed.sealed.ciphertext.length,
  }
  const made = [...snapshot.allMaterials()].find(
    ({ material }) => material.materialId === parsed.materialId,
  )
  const key = made && snapshot.findKey(made.keyArn)
  if (!made || !key) {
    return { ...facts, wouldOpen: false, because: 'this database knows no key with that material' }
  }
  const material = await reportMaterial(installation, made, key.currentMaterialId)
  return {
    ...facts,
    keyArn: key.arn,
    keyState: key.state,
    material,
    ...verdict(key.state, made, parsed, material),
  }
}

function findIntactBlob(blob: Buffer): CiphertextBlob | undefined {
  try {
    return parseCiphertextBlob(blob)
  } catch (error) {
    if (error instanceof KmsError) return undefined
    throw error
  }
}

function verdict(
  state: string,
  { material }: KeyMaterial,
  blob: CiphertextBlob,
  { token }: MaterialReport,
): Pick<BlobReport, 'wouldOpen' | 'because'> {
  const no = (because: string) => ({ wouldOpen: false, because })
  if (blob.scheme !== material.scheme)
    return no(`the blob says ${blob.scheme}, the material is ${material.scheme}`)
  if (state !== 'Enabled') return no(`the key is ${state}`)
  if ('problem' in token) return no(`the token does not answer: ${token.problem}`)
  if (!token.proofHolds) return no('the birth proof of the material does not open in the token')
  return {
    wouldOpen: true,
    because:
      'for a caller with permission and the encryption context it was made with, if the ciphertext is unchanged',
  }
}
