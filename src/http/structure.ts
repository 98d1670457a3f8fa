/** A structure of the KMS API as the code inside sees it: members in camelCase. */
export type Structure = Record<string, unknown>

/** `KeyId` → `keyId`, `AWSAccountId` → `awsAccountId`: leading capitals are one run, but for the one that begins a word. */
export function camelName(wireName: string): string {
  return wireName.replace(/^[A-Z]+(?=[A-Z][a-z])|^[A-Z]+/, (capitals) => capitals.toLowerCase())
}
