/**
 * Strict standard Base64 (RFC 4648 §4): padding required, no white space, no URL alphabet, and the
 * unused bits of the last character zero. `Buffer.from` forgives all of these.
 * Returns `undefined` for text that is not the one canonical encoding of some bytes.
 */
export function parseBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0) return undefined
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
