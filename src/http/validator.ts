import type { NormalizedSchema } from '@smithy/core/schema'
import { KmsError } from '../kms/kms-error.ts'
import type { OperationName } from '../kms/operation-names.ts'
import {
  failure,
  measureLength,
  measureNumber,
  NOT_NULL,
  quote,
  rulesOf,
} from './constraint-rules.ts'
import { CONSTRAINTS, type Constraint, findMemberConstraint } from './constraints.ts'
import { OPERATION_SCHEMAS } from './operation-schemas.ts'
import { camelName, type Structure } from './structure.ts'

/**
 * Checks a decoded request against AWS's model: what is required, lengths, ranges, patterns, enum sets.
 * Throws one ValidationException that lists every failure in AWS's words (KMS-6).
 */
export function validateRequest(operation: OperationName, input: Structure): void {
  const failures: string[] = []
  CHECKS.get(operation)?.(input, '', failures)
  if (failures.length === 0) return
  const counted =
    failures.length === 1 ? '1 validation error' : `${failures.length} validation errors`
  throw new KmsError('ValidationException', `${counted} detected: ${failures.join('; ')}`)
}

/** Adds a sentence to `failures` for each thing that is wrong with the value at `path`. */
type Check = (value: unknown, path: string, failures: string[]) => void

const CHECKS = new Map<OperationName, Check>(
  OPERATION_SCHEMAS.entries().flatMap(([name, { input }]) => {
    const check = checkOf(input, undefined)
    return check === undefined ? [] : [[name, check] as const]
  }),
)

function checkOf(schema: NormalizedSchema, constraint: Constraint | undefined): Check | undefined {
  if (schema.isStructSchema()) return checkStructure(schema)
  if (schema.isMapSchema()) return checkMap
  if (schema.isListSchema()) return checkList(schema.getValueSchema(), constraint)
  return constraint && checkScalar(schema, constraint)
}

function checkStructure(schema: NormalizedSchema): Check {
  const structure = schema.getName() ?? ''
  const requiredNames = requiredMembers(schema)
  const members = [...schema.structIterator()].map(([wireName, member]) => ({
    name: camelName(wireName),
    required: requiredNames.has(wireName),
    check: checkOf(member, findMemberConstraint(structure, wireName)),
  }))
  return (value, path, failures) => {
    for (const { name, required, check } of members) {
      const member = (value as Structure)[name]
      if (member !== undefined) check?.(member, within(path, name), failures)
      else if (required) failures.push(failure('null', within(path, name), NOT_NULL))
    }
  }
}

/** AWS's schemas list the required members first and say how many they are, in their seventh place. */
function requiredMembers(schema: NormalizedSchema): ReadonlySet<string> {
  const row = schema.getSchema() as unknown as readonly unknown[]
  const names = row[4] as readonly string[]
  return new Set(names.slice(0, (row[6] as number | undefined) ?? 0))
}

function checkList(memberSchema: NormalizedSchema, constraint: Constraint = {}): Check {
  const rules = rulesOf(constraint, measureLength)
  const checkMember = memberSchema.isStructSchema()
    ? checkEachStructure(checkStructure(memberSchema))
    : checkEachScalar(membersOf(constraint))
  return (list, path, failures) => {
    for (const { fails, sentence } of rules)
      if (fails(list)) failures.push(failure(quote(list), path, sentence))
    checkMember(list, path, failures)
  }
}

function membersOf({ members }: Constraint): Constraint {
  if (members === undefined) return {}
  return CONSTRAINTS[members as keyof typeof CONSTRAINTS]
}

/** Structures in a list are named one by one, from 1: `tags.1.member.tagKey`. */
function checkEachStructure(check: Check): Check {
  return (list, path, failures) => {
    for (const [index, member] of (list as readonly unknown[]).entries()) {
      const memberPath = `${path}.${index + 1}.member`
      if (member === null) failures.push(failure('null', memberPath, NOT_NULL))
      else check(member, memberPath, failures)
    }
  }
}

/** Scalars in a list fail together, once, with all that any of them had to satisfy. */
function checkEachScalar(constraint: Constraint): Check {
  const rules = rulesOf(constraint, measureLength)
  const all = rules.map(({ sentence }) => sentence).toReversed() // as AWS prints them: the upper bound first
  return (list, path, failures) => {
    const members = list as readonly unknown[]
    const hasNull = members.includes(null)
    if (!hasNull && !members.some((member) => rules.some(({ fails }) => fails(member)))) return
    const sentences = hasNull ? [...all, NOT_NULL] : all
    const sentence = `Member must satisfy constraint: [${sentences.join(', ')}]`
    failures.push(failure(quote(list), path, sentence))
  }
}

function checkMap(map: unknown, path: string, failures: string[]): void {
  if (!Object.values(map as Structure).includes(null)) return
  failures.push(failure(quote(map), path, `Map value must satisfy constraint: [${NOT_NULL}]`))
}

function checkScalar(schema: NormalizedSchema, constraint: Constraint): Check {
  const rules = rulesOf(constraint, schema.isNumericSchema() ? measureNumber : measureLength)
  // Bytes and secrets are not repeated in an error (KMS-6).
  const isQuoted = !schema.isBlobSchema() && !schema.getMergedTraits().sensitive
  return (value, path, failures) => {
    for (const { fails, sentence } of rules)
      if (fails(value)) failures.push(failure(isQuoted ? quote(value) : undefined, path, sentence))
  }
}

function within(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}
