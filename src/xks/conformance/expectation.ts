import { parseBase64 } from '../../bytes/base64.ts'
import { XKS_ERRORS, type XksErrorName } from '../xks-error.ts'
import { type Answer, describeAnswer, membersOf } from './answer.ts'
import { nonconforming } from './nonconformity.ts'

/** Throws Nonconformity unless the answer is a 200; returns its members. */
export function assertGranted(answer: Answer): Readonly<Record<string, unknown>> {
  const members = membersOf(answer)
  if (answer.status !== 200 || members === undefined)
    nonconforming('200 with a JSON object', describeAnswer(answer))
  return members
}

/** Throws Nonconformity unless the answer is one of these errors, with its name and its status. */
export function assertRefused(answer: Answer, ...names: readonly XksErrorName[]): void {
  const errorName = membersOf(answer)?.['errorName']
  const fits = names.some((name) => errorName === name && answer.status === XKS_ERRORS[name].status)
  if (!fits) nonconforming(names.map(describeError).join(' or '), describeAnswer(answer))
}

/** Throws Nonconformity unless the answer is a 200 or the refusal of an authorization policy. */
export function assertNotInvalid(answer: Answer): void {
  if (answer.status === 403) assertRefused(answer, 'AccessDeniedException')
  else assertGranted(answer)
}

/** Throws Nonconformity if the request was served. */
export function assertNotServed(answer: Answer): void {
  if (answer.status < 400) nonconforming('a refusal', describeAnswer(answer))
}

/** Throws Nonconformity unless the answer is a JSON error with this status, under any name. */
export function assertStatus(answer: Answer, ...statuses: readonly number[]): void {
  if (!statuses.includes(answer.status) || typeof membersOf(answer)?.['errorName'] !== 'string')
    nonconforming(`${statuses.join(' or ')} with an errorName`, describeAnswer(answer))
}

/** The bytes of a Base64 member. Throws Nonconformity when it is missing or not the standard form. */
export function bytesMember(members: Readonly<Record<string, unknown>>, name: string): Buffer {
  const value = members[name]
  const bytes = typeof value === 'string' ? parseBase64(value) : undefined
  if (bytes === undefined)
    nonconforming(`${name} as Base64`, value === undefined ? 'none' : 'something else')
  return bytes
}

/** Throws Nonconformity unless the condition holds. */
export function assertHolds(condition: boolean, expected: string, received: string): void {
  if (!condition) nonconforming(expected, received)
}

function describeError(name: XksErrorName): string {
  return `${XKS_ERRORS[name].status} ${name}`
}
