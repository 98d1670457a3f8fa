import type { PolicyQuestion } from '../../src/policy/compiled-policy.ts'

/**
 * A second, deliberately simple reading of the policy language: straight from the parsed JSON, regular
 * expressions for wildcards, numbers for addresses. It shares no code with what it checks.
 */
export interface PlainStatement {
  Effect: 'Allow' | 'Deny'
  Principal: '*' | { AWS: string | string[] }
  Action: string | string[]
  Resource: string | string[]
  Condition?: Record<string, Record<string, string | string[]>>
}

/** The indexes of all denies and all allows that match, with how the principal was matched. */
export function evaluate(statements: PlainStatement[], question: PolicyQuestion) {
  const matching = statements.flatMap((statement, index) => {
    const matchedBy = principalMatch(statement.Principal, question.principal)
    const applies =
      matchedBy !== '' &&
      list(statement.Action).some((a) => glob(a.toLowerCase(), question.action.toLowerCase())) &&
      list(statement.Resource).some((r) => r === '*' || arnGlob(r, question.resource)) &&
      conditionHolds(statement, question.context)
    return applies ? [{ index, effect: statement.Effect, matchedBy }] : []
  })
  return {
    denies: matching.filter(({ effect }) => effect === 'Deny'),
    allows: matching.filter(({ effect }) => effect === 'Allow'),
  }
}

const list = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value])

function glob(pattern: string, text: string): boolean {
  let source = ''
  for (const character of pattern) {
    if (character === '*') source += '(.|\\s)*'
    else if (character === '?') source += '(.|\\s)'
    else source += character.replace(/[^\w]/, '\\$&')
  }
  return new RegExp(`^${source}$`).test(text)
}

function arnGlob(pattern: string, text: string): boolean {
  const cut = (arn: string) => /^(arn):(.*?):(.*?):(.*?):(.*?):(.*)$/s.exec(arn)?.slice(1)
  const [wanted, given] = [cut(pattern), cut(text)]
  if (!wanted || !given) return false
  return wanted.every((part, i) => glob(part, given[i] as string))
}

function principalMatch(
  principal: PlainStatement['Principal'],
  { arn, accountId }: PolicyQuestion['principal'],
): 'principal' | 'account' | 'anyone' | '' {
  const names = principal === '*' ? ['*'] : list(principal.AWS)
  const root = `arn:aws:iam::${accountId}:root`
  const wholeAccount = names.includes(accountId) || names.includes(root)
  if (names.includes(arn) || (wholeAccount && arn === root)) return 'principal'
  if (wholeAccount) return 'account'
  return names.includes('*') ? 'anyone' : ''
}

function conditionHolds(
  { Condition: condition = {}, Effect: effect }: PlainStatement,
  context: PolicyQuestion['context'],
): boolean {
  for (const [operator, keys] of Object.entries(condition))
    for (const [key, wanted] of Object.entries(keys)) {
      const given = context.get(key.toLowerCase())
      if (!oneHolds(operator, list(wanted), given ?? [], effect)) return false
    }
  return true
}

function oneHolds(operator: string, wanted: string[], given: readonly string[], effect: string) {
  if (operator === 'Null')
    return wanted.some((value) => (value === 'true') === (given.length === 0))
  const [set, rest] = operator.includes(':') ? operator.split(':') : ['', operator]
  const ifExists = (rest as string).endsWith('IfExists')
  const base = (rest as string).replace('IfExists', '')
  const test = (value: string) => valueHolds(base, wanted, value)
  if (set === 'ForAllValues') return !given.some((value) => !test(value))
  if (given.length === 0) return ifExists || (set === '' && base.includes('Not'))
  if (set === 'ForAnyValue') return given.some(test)
  if (given.length > 1) return effect === 'Deny'
  return test(given[0] as string)
}

function valueHolds(base: string, wanted: string[], value: string): boolean {
  const positive = base.replace('Not', '')
  let found = false
  for (const candidate of wanted) {
    if (positive === 'StringEquals' && candidate === value) found = true
    if (positive === 'StringEqualsIgnoreCase' && candidate.toLowerCase() === value.toLowerCase())
      found = true
    if (positive === 'StringLike' && glob(candidate, value)) found = true
    if (positive.startsWith('Arn') && arnGlob(candidate, value)) found = true
    if (positive === 'Bool' && candidate.toLowerCase() === value.toLowerCase()) found = true
    if (positive === 'IpAddress' && inBlock(candidate, value)) found = true
  }
  return base.includes('Not') ? !found : found
}

function inBlock(block: string, address: string): boolean {
  const [network = '', bits] = block.split('/')
  const [a, b] = [numberOf(network), numberOf(address)]
  if (!a || !b || a.width !== b.width) return false
  const shift = BigInt(a.width - Number(bits ?? a.width))
  return a.value >> shift === b.value >> shift
}

function numberOf(address: string): { width: number; value: bigint } | undefined {
  if (/^\d+(\.\d+){3}$/.test(address))
    return { width: 32, value: address.split('.').reduce((n, byte) => n * 256n + BigInt(byte), 0n) }
  if (!address.includes(':')) return undefined
  const [head = '', tail = ''] = address.split('::')
  const groups = (text: string) => text.split(':').filter((group) => group !== '')
  const missing = 8 - groups(head).length - groups(tail).length
  const all = [...groups(head), ...Array<string>(Math.max(missing, 0)).fill('0'), ...groups(tail)]
  return { width: 128, value: all.reduce((n, group) => n * 65536n + BigInt(`0x${group}`), 0n) }
}
