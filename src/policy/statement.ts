import type { MatchedStatement, PolicyKind, PolicyQuestion } from './compiled-policy.ts'
import { compileCondition, type Effect } from './condition.ts'
import { quoted, refuse } from './policy-error.ts'
import { isObject, type Json, type JsonObject } from './policy-json.ts'
import { compilePrincipal, type PrincipalElement } from './principal.ts'
import {
  compileArnPattern,
  compileIgnoringCase,
  compileWildcard,
  type Matcher,
} from './wildcard.ts'

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
const EXTERNAL_KEY = /^([\w.*?-]+)\/([\w.*?-]+)$/
const IDENTITY_SID = /^[A-Za-z0-9]*$/
/** Lower-cased. An xks policy is asked about nothing else, so a statement about anything else would never do anything. */
const XKS_ACTIONS = ['xks:encrypt', 'xks:decrypt', 'xks:getkeymetadata']
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
    kind === 'identity' ? ITSELF : compilePrincipal(element['Principal'], `${where}.Principal`)
  const actions = compileActions(element['Action'], kind, `${where}.Action`)
  const resources = compileResources(element['Resource'], kind, `${where}.Resource`)
  const condition = compileCondition(element['Condition'], kind, effect, `${where}.Condition`)

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
  if (kind !== 'identity' && !Object.hasOwn(element, 'Principal'))
    refuse(where, `${kind === 'key' ? 'a key policy' : 'an xks policy'} must name a Principal`)
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

function compileActions(element: Json | undefined, kind: PolicyKind, where: string): Matcher {
  return anyOf(
    readStrings(element, where).map((action) => {
      if (!ACTION.test(action)) refuse(where, `${quoted(action)} is not an action`)
      const matches = compileIgnoringCase(action)
      if (kind === 'xks' && !XKS_ACTIONS.some(matches))
        refuse(where, `${quoted(action)} is no action of an external key store`)
      return matches
    }),
  )
}

function compileResources(element: Json | undefined, kind: PolicyKind, where: string): Matcher {
  return anyOf(
    readStrings(element, where).map((resource) => {
      if (resource === '*') return () => true
      if (resource.includes('${')) refuse(where, 'policy variables are not supported')
      if (kind === 'xks')
        return (
          compileExternalKey(resource) ??
          refuse(where, `${quoted(resource)} is neither * nor <store>/<externalKeyId>`)
        )
      return (
        compileArnPattern(resource) ?? refuse(where, `${quoted(resource)} is neither * nor an ARN`)
      )
    }),
  )
}

/** A wildcard on each side of the slash: a star never reaches across it. */
function compileExternalKey(pattern: string): Matcher | undefined {
  const [, store, key] = EXTERNAL_KEY.exec(pattern) ?? []
  if (store === undefined || key === undefined) return undefined
  const isStore = compileWildcard(store)
  const isKey = compileWildcard(key)
  return (text) => {
    const slash = text.indexOf('/')
    return isStore(text.slice(0, slash)) && isKey(text.slice(slash + 1))
  }
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
