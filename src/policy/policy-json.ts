import { PolicyError, quoted } from './policy-error.ts'

export type Json = string | number | boolean | null | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [member: string]: Json
}

export const MAX_POLICY_CHARACTERS = 131_072
const MAX_DEPTH = 16
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g

/**
 * Parses the text of a policy. Throws PolicyError on what JSON.parse lets pass: a member that occurs twice
 * (the last one would win silently), and nesting that no policy has.
 */
export function parsePolicyJson(text: string): Json {
  if (text.length > MAX_POLICY_CHARACTERS)
    throw new PolicyError(`The policy is longer than ${MAX_POLICY_CHARACTERS} characters.`)
  assertShape(text)
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new PolicyError('The policy is not valid JSON.')
  }
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** One pass over the tokens, before JSON.parse: text that is no JSON may pass here, and fails there. */
function assertShape(text: string): void {
  const open: Set<string>[] = []
  let lastString = ''
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') {
      if (open.push(new Set()) > MAX_DEPTH)
        throw new PolicyError('The policy is nested too deeply.')
    } else if (token === '}' || token === ']') open.pop()
    else if (token === ':') addMember(open.at(-1), lastString)
    else lastString = token
  }
}

function addMember(members: Set<string> | undefined, literal: string): void {
  const name = unescaped(literal)
  if (members?.has(name)) throw new PolicyError(`The member ${quoted(name)} occurs twice.`)
  members?.add(name)
}

/** "Eff\u0065ct" is Effect. */
function unescaped(literal: string): string {
  try {
    return JSON.parse(literal) as string
  } catch {
    throw new PolicyError('The policy is not valid JSON.')
  }
}
