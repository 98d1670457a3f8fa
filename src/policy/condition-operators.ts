import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { ConditionType } from './condition-keys.ts'
import { compileArnPattern, compileWildcard, type Matcher } from './wildcard.ts'

/** One base operator. Its negated twin and the …IfExists and set forms are the same row seen differently. */
export interface ConditionOperator {
  readonly negated: boolean
  /** Types of keys that it can be asked about. */
  readonly types: readonly ConditionType[]
  /** What a value has to be, for the error text. */
  readonly expects: string
  /** A matcher for one value of the policy; `undefined` if the value is not what the operator expects. */
  compile(value: string): Matcher | undefined
}

const ANY_TEXT = { types: ['string', 'arn', 'boolean'], expects: 'a string' } as const
const ARN = {
  types: ['arn'],
  expects: 'an ARN with six parts',
  compile: compileArnPattern,
} as const
const IP = {
  types: ['ip'],
  expects: 'an IP address or a CIDR block',
  compile: compileCidr,
} as const

const OPERATORS = {
  StringEquals: { ...ANY_TEXT, negated: false, compile: exactly },
  StringNotEquals: { ...ANY_TEXT, negated: true, compile: exactly },
  StringEqualsIgnoreCase: { ...ANY_TEXT, negated: false, compile: exactlyIgnoringCase },
  StringNotEqualsIgnoreCase: { ...ANY_TEXT, negated: true, compile: exactlyIgnoringCase },
  StringLike: { ...ANY_TEXT, negated: false, compile: compileWildcard },
  StringNotLike: { ...ANY_TEXT, negated: true, compile: compileWildcard },
  ArnEquals: { ...ARN, negated: false }, // AWS: behaves as ArnLike, wildcards and all
  ArnNotEquals: { ...ARN, negated: true },
  ArnLike: { ...ARN, negated: false },
  ArnNotLike: { ...ARN, negated: true },
  Bool: { types: ['boolean'], expects: 'true or false', negated: false, compile: compileBoolean },
  IpAddress: { ...IP, negated: false },
  NotIpAddress: { ...IP, negated: true },
} as const satisfies Record<string, ConditionOperator>

export function findConditionOperator(name: string): ConditionOperator | undefined {
  return Object.hasOwn(OPERATORS, name) ? OPERATORS[name as keyof typeof OPERATORS] : undefined
}

function exactly(value: string): Matcher {
  return (text) => text === value
}

function exactlyIgnoringCase(value: string): Matcher {
  const lower = value.toLowerCase()
  return (text) => text.toLowerCase() === lower
}

function compileBoolean(value: string): Matcher | undefined {
  const lower = value.toLowerCase()
  if (lower !== 'true' && lower !== 'false') return undefined
  return (text) => text.toLowerCase() === lower
}

const CIDR = /^([0-9a-f:.]+)(?:\/(\d{1,3}))?$/i
const MAPPED = /^::ffff:(?=\d+\.)/i

/** IPv4 and IPv6 are told apart: a BlockList alone finds every IPv4 address in ::/0. */
function compileCidr(value: string): Matcher | undefined {
  const [, address = '', prefix] = CIDR.exec(value) ?? []
  const family = familyOf(address)
  if (family === undefined) return undefined
  const bits = family === 'ipv4' ? 32 : 128
  const prefixBits = prefix === undefined ? bits : Number(prefix)
  if (prefixBits > bits) return undefined
  const block = new BlockList()
  block.addSubnet(address, prefixBits, family)
  return (text) => {
    const plain = text.replace(MAPPED, '') // a dual-stack socket shows IPv4 clients this way
    return familyOf(plain) === family && block.check(plain, family)
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  if (isIPv4(address)) return 'ipv4'
  return isIPv6(address) ? 'ipv6' : undefined
}
