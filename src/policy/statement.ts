import type { MatchedStatement, PolicyKind, PolicyQuestion } from './compiled-policy.ts'
import { compileCondition, type Effect } from './condition.ts'
import { quoted, refuse } from './policy-error.ts'
import { isObject, type Json, type JsonObject } from './policy-json.ts'
import { compilePrincipal, type PrincipalElement } from './principal.ts'
import { compileArnPattern, compileIgnoringCase, type Matcher } from './wildcard.ts'

/** A compiled statement. */
export interface Statement {
  readonly sid: string | undefined
  readonly effect: Effect
  readonly principals: readonly string[]
  /** Why the statement applies to the question, or `undefined` if it does not. `action` is lower-cased. */
  match(question: PolicyQuestion, action: string): MatchedStatement | undefined
}

const MEMBERS = ['Sid', 'Effect', 'Principal', 'Action', 'Resource', 'Condition']
const ACTION = /^(?:\*|[a-z0-9-]+:[\w*?]+)$/i // the service is a name, not a pattern, as in IAM
const IDENTITY_SID = /^[A-Za-z0-9]*$/
const ITSELF: PrincipalElement = { named: [], match: () => 'principal' }

/** Compiles one statement. Throws PolicyError on every member and value that it does not know. */
export function compileStatement(
  element: Json | undefined,
  kind: PolicyKind,
  index: number,
): Statement {
  const where = `Statement[${index}]`
  if (!isObject(element)) return refuse(where, 'must be an object')
  assertMembers(element, kind, where)
  const sid = readSid(element['Sid'], kind, where)
  const effect = readEffect(element['Effect'], where)
  const principal =
    kind === 'key' ? compilePrincipal(element['Principal'], `${where}.Principal`) : ITSELF
  const actions = compileActions(element['Action'], `${where}.Action`)
  const resources = compileResources(element['Resource'], `${where}.Resource`)
  const condition = compileCondition(element['Condition'], effect, `${where}.Condition`)

  const matched = (matchedBy: MatchedStatement['matchedBy']): MatchedStatement =>
    sid === undefined ? { index, effect, matchedBy } : { index, sid, effect, matchedBy }
  const outcomes = {
    principal: matched('principal'),
    account: matched('account'),
    anyone: matched('anyone'),
  }
  return {
    sid,
    effect,
    principals: principal.named,
    match: (question, action) => {
      const matchedBy = principal.match(question.principal)
      const applies =
        matchedBy !== undefined &&
        actions(action) &&
        resources(question.resource) &&
        condition(question.context)
      return applies ? outcomes[matchedBy] : undefined
    },
  }
}

function assertMembers(element: JsonObject, kind: PolicyKind, where: string): void {
  for (const member of Object.keys(element))
    if (!MEMBERS.includes(member)) refuse(where, `the member ${quoted(member)} is not supported`)
  if (kind === 'key' && !Object.hasOwn(element, 'Principal'))
    refuse(where, 'a key policy must name a Principal')
  if (kind === 'identity' && Object.hasOwn(element, 'Principal'))
    refuse(where, 'an identity policy must not have a Principal')
}

function readSid(element: Json | undefined, kind: PolicyKind, where: string): string | undefined {
  if (element === undefined) return undefined
  if (typeof element !== 'string') return refuse(`${where}.Sid`, 'must be a string')
  if (kind === 'identity' && !IDENTITY_SID.test(element))
    refuse(`${where}.Sid`, 'must consist of letters and digits')
  return element
}

function readEffect(element: Json | undefined, where: string): Effect {
  if (element === 'Allow' || element === 'Deny') return element
  return refuse(`${where}.Effect`, 'must be Allow or Deny')
}

function compileActions(element: Json | undefined, where: string): Matcher {
  return anyOf(
    readStrings(element, where).map((action) => {
      if (!ACTION.test(action)) refuse(where, `${quoted(action)} is not an action`)
      return compileIgnoringCase(action)
    }),
  )
}

function compileResources(element: Json | undefined, where: string): Matcher {
  return anyOf(
    readStrings(element, where).map((resource) => {
      if (resource === '*') return () => true
      if (resource.includes('${')) refuse(where, 'policy variables are not supported')
      return (
        compileArnPattern(resource) ?? refuse(where, `${quoted(resource)} is neither * nor an ARN`)
      )
    }),
  )
}

function readStrings(element: Json | undefined, where: string): string[] {
  const values = Array.isArray(element) ? (element as readonly Json[]) : [element]
  if (values.length === 0) refuse(where, 'must not be empty')
  return values.map((value) =>
    typeof value === 'string' ? value : refuse(where, 'must be a string or a list of strings'),
  )
}

function anyOf(matchers: readonly Matcher[]): Matcher {
  const [only, ...more] = matchers
  if (only !== undefined && more.length === 0) return only
  return (text) => matchers.some((matches) => matches(text))
}
