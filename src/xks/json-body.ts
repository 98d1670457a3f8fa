import { parseStrictJson } from '../bytes/strict-json.ts'
import type { XksRequest } from './proxy.ts'
import { XksError } from './xks-error.ts'

/**
 * Members of a JSON object as `JSON.parse` made it: `__proto__` is a plain own member in it, and does nothing (AT-J02).
 * Members that nobody asks for are ignored (XKS M-07).
 */
export type Members = Readonly<Record<string, unknown>>

const JSON_TYPE = 'application/json'

/** Step 8 of the order of errors (XKS 1.9) as far as it is the same everywhere: a body that is one JSON object. */
export function parseBody({
  contentType,
  contentEncoding,
  body,
}: Pick<XksRequest, 'contentType' | 'contentEncoding' | 'body'>): Members {
  if (!isJsonType(contentType)) throw invalid(`The Content-Type must be ${JSON_TYPE}.`) // XKS T-01
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== 'identity')
    throw invalid('The Content-Encoding must be identity.')
  const value = parseStrictJson(body)
  if (!isMembers(value)) throw invalid('The body must be one JSON object without repeated members.')
  return value
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member that has to be there, as text. */
export function textOf(members: Members, name: string): string {
  const value = members[name]
  if (typeof value !== 'string') throw invalid(`${name} is required and must be a string.`)
  return value
}

/** A member that may be absent; null is as good as absent. */
export function findText(members: Members, name: string): string | undefined {
  const value = members[name]
  return value === undefined || value === null ? undefined : textOf(members, name)
}

export function invalid(message: string): XksError {
  return new XksError('ValidationException', message)
}

/** With no parameter, or with the one charset that JSON has. */
function isJsonType(contentType: string | undefined): boolean {
  if (contentType === JSON_TYPE) return true
  const [type, parameter, ...more] = (contentType ?? '').toLowerCase().split(';')
  const charset = parameter?.trim().replaceAll('"', '')
  return (
    type?.trim() === JSON_TYPE &&
    more.length === 0 &&
    (charset === undefined || charset === '' || charset === 'charset=utf-8')
  )
}
