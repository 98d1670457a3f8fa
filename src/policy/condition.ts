import type { PolicyKind } from './compiled-policy.ts'
import { type ConditionKey, findConditionKey } from './condition-keys.ts'
import { type ConditionOperator, findConditionOperator } from './condition-operators.ts'
import { quoted, refuse } from './policy-error.ts'
import { isObject, type Json } from './policy-json.ts'

export type Context = ReadonlyMap<string, readonly string[]>
export type Effect = 'Allow' | 'Deny'

/** Whether the conditions of a statement hold for a request. */
export type Condition = (context: Context) => boolean

const OPERATOR_NAME = /^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$/

interface OperatorName {
  readonly set: string | undefined
  readonly base: string
  readonly ifExists: boolean
}

/** Compiles a Condition element: every operator and every key in it must hold. Throws PolicyError. */
export function compileCondition(
  element: Json | undefined,
  kind: PolicyKind,
  effect: Effect,
  where: string,
): Condition {
  if (element === undefined) return () => true
  if (!isObject(element)) return refuse(where, 'must be an object')
  const tests = Object.entries(element).flatMap(([operator, keys]) =>
    compileOperator(operator, keys, kind, effect, `${where}[${quoted(operator)}]`),
  )
  return (context) => tests.every((test) => test(context))
}

function compileOperator(
  operator: string,
  keys: Json,
  kind: PolicyKind,
  effect: Effect,
  where: string,
): Condition[] {
  const name = readOperatorName(operator, where)
  if (!isObject(keys) || Object.keys(keys).length === 0)
    return refuse(where, 'must be an object with condition keys')
  const seen = new Set<string>()
  return Object.entries(keys).map(([key, values]) => {
    const lowerKey = key.toLowerCase()
    if (seen.has(lowerKey)) refuse(where, `the condition key ${quoted(key)} occurs twice`)
    seen.add(lowerKey)
    const here = `${where}[${quoted(key)}]`
    const known = findConditionKey(lowerKey, kind)
    if (known === undefined) return refuse(here, 'this condition key is not supported')
    return compileTest(name, lowerKey, known, readValues(values, here), effect, here)
  })
}

function readOperatorName(operator: string, where: string): OperatorName {
  const [, set, base = '', ifExists] = OPERATOR_NAME.exec(operator) ?? []
  const known = base === 'Null' ? !set && !ifExists : findConditionOperator(base) !== undefined
  if (!known) refuse(where, 'this condition operator is not supported')
  return { set, base, ifExists: ifExists !== undefined }
}

function readValues(element: Json, where: string): string[] {
  const values = Array.isArray(element) ? (element as readonly Json[]) : [element]
  if (values.length === 0) refuse(where, 'must have a value')
  return values.map((value) => {
    if (typeof value === 'boolean') return String(value)
    if (typeof value !== 'string') return refuse(where, `${quoted(value)} is not a string`)
    if (value.includes('${')) refuse(where, 'policy variables are not supported')
    return value
  })
}

function compileTest(
  name: OperatorName,
  key: string,
  known: ConditionKey,
  values: readonly string[],
  effect: Effect,
  where: string,
): Condition {
  if (name.base === 'Null') return compileNull(key, values, where)

  const operator = findConditionOperator(name.base)
  if (operator === undefined) return refuse(where, 'this condition operator is not supported')
  assertFits(name, operator, known, where)
  const matchers = values.map(
    (value) =>
      operator.compile(value) ?? refuse(where, `${quoted(value)} is not ${operator.expects}`),
  )
  const holds = (value: string) => matchers.some((matches) => matches(value)) !== operator.negated
  return quantify(name, operator, key, holds, effect)
}

function assertFits(
  { base, set }: OperatorName,
  { types }: ConditionOperator,
  { type, multiValued, refusesForAllValues }: ConditionKey,
  where: string,
): void {
  if (!types.includes(type))
    refuse(where, `${base} does not apply to a condition key of type ${type}`)
  if (multiValued && set === undefined)
    refuse(where, 'a condition key with several values needs ForAnyValue: or ForAllValues:')
  if (refusesForAllValues && set === 'ForAllValues')
    refuse(where, 'ForAllValues matches requests without this condition key; remove ForAllValues')
}

/** For all values, for any, or for the one that there is. */
function quantify(
  { set, ifExists }: OperatorName,
  { negated }: ConditionOperator,
  key: string,
  holds: (value: string) => boolean,
  effect: Effect,
): Condition {
  if (set === 'ForAllValues') return (context) => valuesOf(context, key).every(holds)
  if (set === 'ForAnyValue')
    return (context) => {
      const given = valuesOf(context, key)
      return given.length === 0 ? ifExists : given.some(holds)
    }
  return (context) => {
    const [value, ...more] = valuesOf(context, key)
    if (value === undefined) return ifExists || negated
    if (more.length > 0) return effect === 'Deny' // AT-Z10: in doubt nothing is allowed and all is denied
    return holds(value)
  }
}

function compileNull(key: string, values: readonly string[], where: string): Condition {
  const wanted = values.map((value) => value.toLowerCase())
  if (!wanted.every((value) => value === 'true' || value === 'false'))
    refuse(where, 'Null takes true or false')
  return (context) => wanted.includes(valuesOf(context, key).length === 0 ? 'true' : 'false')
}

const NONE: readonly string[] = []

function valuesOf(context: Context, key: string): readonly string[] {
  return context.get(key) ?? NONE
}
