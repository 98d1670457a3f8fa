import type { CompiledPolicy, MatchedStatement, PolicyKind } from './compiled-policy.ts'
import { quoted, refuse } from './policy-error.ts'
import { isObject, type Json, type JsonObject, parsePolicyJson } from './policy-json.ts'
import { compileStatement, type Statement } from './statement.ts'

/** A policy compiled from its text. */
export interface PolicyDocument extends CompiledPolicy {
  /** Account ids and ARNs that the statements name, each once, without `*`; an account root is its account id. */
  readonly principals: readonly string[]
}

const MEMBERS = ['Version', 'Id', 'Statement']
const VERSIONS = ['2012-10-17', '2008-10-17']

/**
 * Compiles the text of a policy, once, for many decisions. ARCH-D13: throws PolicyError on whatever it does
 * not know, so that no condition is ever stored and then ignored.
 */
export function compilePolicy(text: string, kind: PolicyKind): PolicyDocument {
  const document = parsePolicyJson(text)
  if (!isObject(document)) return refuse('The policy', 'must be an object')
  assertMembers(document)
  const statements = statementsOf(document).map((element, i) => compileStatement(element, kind, i))
  assertUniqueSids(statements)
  const denies = statements.filter(({ effect }) => effect === 'Deny')
  const allows = statements.filter(({ effect }) => effect === 'Allow')
  return {
    kind,
    principals: [...new Set(statements.flatMap(({ principals }) => principals))],
    decide(question) {
      const action = question.action.toLowerCase()
      for (const statement of denies) {
        const deny = statement.match(question, action)
        if (deny !== undefined) return { deny, allows: [] }
      }
      const matched: MatchedStatement[] = []
      for (const statement of allows) {
        const allow = statement.match(question, action)
        if (allow !== undefined) matched.push(allow)
      }
      return { allows: matched }
    },
  }
}

function assertMembers(document: JsonObject): void {
  for (const member of Object.keys(document))
    if (!MEMBERS.includes(member))
      refuse('The policy', `the member ${quoted(member)} is not supported`)
  const { Version: version, Id: id } = document
  if (version !== undefined && !VERSIONS.includes(version as string))
    refuse('Version', `must be ${VERSIONS.join(' or ')}`)
  if (id !== undefined && typeof id !== 'string') refuse('Id', 'must be a string')
}

function statementsOf({ Statement: element }: JsonObject): readonly (Json | undefined)[] {
  const statements = Array.isArray(element) ? (element as readonly Json[]) : [element]
  if (statements.length === 0) refuse('Statement', 'must not be empty')
  return statements
}

function assertUniqueSids(statements: readonly Statement[]): void {
  const seen = new Set<string>()
  for (const { sid } of statements) {
    if (!sid) continue
    if (seen.has(sid)) refuse('Statement', `the Sid ${quoted(sid)} occurs twice`)
    seen.add(sid)
  }
}
