/**
 * The canonical request of SigV4 for every service but S3. Strings hold one byte per character (latin1),
 * as node:http hands them out, so that the bytes on the wire are the bytes that get hashed.
 */

const UNRESERVED_ONLY = /^[A-Za-z0-9\-._~]*$/
/** As most are: nothing to encode, no empty or dot segment, no slash at the end. */
const CANONICAL_PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9\-._~]+)+$/
const NOT_UNRESERVED = /[^A-Za-z0-9\-._~]/g
const NEEDS_TRIMMING = /^[ \t]|[ \t]$|[ \t]{2}|\t/

/** Without dot segments, empty segments and then percent-encoded once more: the path on the wire is encoded already. */
export function canonicalPath(rawPath: string): string {
  if (rawPath === '/' || CANONICAL_PATH.test(rawPath)) return rawPath
  const segments: string[] = []
  for (const segment of rawPath.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(encode(segment))
  }
  const slash = segments.length > 0 && rawPath.endsWith('/') ? '/' : ''
  return `/${segments.join('/')}${slash}`
}

/** Names and values decoded, encoded again in one way, and sorted. */
export function canonicalQuery(rawQuery: string): string {
  if (rawQuery === '') return ''
  return queryPairs(rawQuery)
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** The decoded pairs of a query; a part without `=` has an empty value, empty parts count for nothing. */
export function queryPairs(rawQuery: string): [name: string, value: string][] {
  return rawQuery
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=')
      return equals < 0
        ? [decode(part), '']
        : [decode(part.slice(0, equals)), decode(part.slice(equals + 1))]
    })
}

/** AT-S29: outer white space removed, runs of it one space. Only space and tab: 0xA0 is half of a UTF-8 letter. */
export function canonicalValue(value: string): string {
  if (!NEEDS_TRIMMING.test(value)) return value
  return value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '')
}

function encode(text: string): string {
  if (UNRESERVED_ONLY.test(text)) return text
  return text.replace(NOT_UNRESERVED, (character) => {
    const hex = character.charCodeAt(0).toString(16).toUpperCase()
    return hex.length === 1 ? `%0${hex}` : `%${hex}`
  })
}

function decode(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
