import type { MatchedStatement, PolicyQuestion } from './compiled-policy.ts'
import { quoted, refuse } from './policy-error.ts'
import { isObject, type Json } from './policy-json.ts'

type MatchedBy = MatchedStatement['matchedBy']

/** The Principal element of a statement. */
export interface PrincipalElement {
  /** Account ids and ARNs that it names, without `*`; an account root is named by its account id. */
  readonly named: readonly string[]
  /** How the caller is named, in the strongest of the ways; `undefined` if it is not. */
  match(caller: PolicyQuestion['principal']): MatchedBy | undefined
}

const ACCOUNT = /^\d{12}$/
const ROOT = /^arn:aws[a-z-]*:iam::(\d{12}):root$/
// No wildcards: AWS takes them in no principal, and a role to be must not be caught by one.
const IDENTITY =
  /^arn:aws[a-z-]*:(?:iam::\d{12}:(?:user|role)(?:\/[\w+=,.@-]+)+|sts::\d{12}:(?:assumed-role\/[\w+=,.@-]+\/[\w+=,.@-]+|federated-user\/[\w+=,.@-]+))$/

/** Compiles `"*"` or `{"AWS": …}`. Throws PolicyError on everything else. */
export function compilePrincipal(element: Json | undefined, where: string): PrincipalElement {
  const names = readNames(element, where)
  const anyone = names.includes('*')
  const accounts = new Set(names.filter((name) => ACCOUNT.test(name)))
  const arns = new Set(names.filter((name) => IDENTITY.test(name)))
  return {
    named: [...new Set(names)].filter((name) => name !== '*'),
    match: ({ arn, accountId }) => {
      if (arns.has(arn)) return 'principal'
      if (accounts.has(accountId)) return isRoot(arn) ? 'principal' : 'account'
      return anyone ? 'anyone' : undefined
    },
  }
}

function isRoot(arn: string): boolean {
  return arn.endsWith(':root') && ROOT.test(arn)
}

function readNames(element: Json | undefined, where: string): string[] {
  if (element === '*') return ['*']
  if (!isObject(element)) return refuse(where, 'must be "*" or an object')
  for (const type of Object.keys(element))
    if (type !== 'AWS') refuse(where, `principals of type ${quoted(type)} are not supported`)
  const names = Array.isArray(element['AWS'])
    ? (element['AWS'] as readonly Json[])
    : [element['AWS']]
  if (names.length === 0) refuse(`${where}.AWS`, 'must name a principal')
  return names.map((name) => readName(name, `${where}.AWS`))
}

function readName(name: Json | undefined, where: string): string {
  if (typeof name !== 'string') return refuse(where, `${quoted(name)} is not a string`)
  const account = ROOT.exec(name)?.[1]
  if (account !== undefined) return account
  if (name !== '*' && !ACCOUNT.test(name) && !IDENTITY.test(name))
    refuse(where, `${quoted(name)} is not an account, user, role or assumed role`)
  return name
}
