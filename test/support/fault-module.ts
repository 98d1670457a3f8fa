import { readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileC } from './compile-c.ts'

/** A lane draws the IVs of 64 encryptions in one call: after so many encryptions two lanes have drawn again, twice. */
export const ENOUGH_FOR_NEW_IVS = 300

const SOURCE = join(import.meta.dirname, '..', 'faults', 'p11fault.c')

/** One line of the call log: what the token was asked, and what it answered. */
export interface RecordedCall {
  /** When the call began, in nanoseconds since 1970. */
  readonly atNs: bigint
  readonly pid: number
  readonly function: string
  /** CKR_…; undefined when a rule ended the process before there was an answer. */
  readonly rv: number | undefined
  readonly us: number
  /** Handle of the key or object that the call names. */
  readonly key?: number
  /** Handle of the key that wraps or unwraps. */
  readonly with?: number
  /** Handle of the object or session that the call made. */
  readonly made?: number
  readonly mechanism?: number
  /** Length of the input; of the output for C_GenerateRandom. */
  readonly inBytes?: number
  /** CKU_… of C_Login. */
  readonly user?: number
  /** CKA_CLASS, where a template has it. */
  readonly class?: number
  /** The types in the template, in its order. */
  readonly attributes?: readonly number[]
  readonly injected: boolean
}

/** A place where calls hang (`hang=<path>`) until they are released. */
export interface Hang {
  readonly path: string
  release(): void
}

export interface FaultModule {
  /** What a lane loads instead of the real module. */
  readonly modulePath: string
  /** What the process that loads it needs in its environment. */
  readonly env: Readonly<Record<string, string>>
  /**
   * Puts these rules (grammar: test/faults/p11fault.c) in place of the old ones, for every process from its next call on.
   * Throws a TypeError on a line that the module would not understand.
   */
  rules(lines: readonly string[]): void
  clear(): void
  calls(): RecordedCall[]
  countCalls(functionName: string): number
  forgetCalls(): void
  hang(name: string): Hang
}

/** Puts our fault module in front of `realModulePath`; rules and log live in `directory`. Compiles it when needed. */
export function faultModule(
  realModulePath: string,
  directory: string,
  options: { readonly record?: boolean } = {},
): FaultModule {
  const rulesPath = join(directory, 'p11fault.rules')
  const logPath = join(directory, 'p11fault.log')
  writeFileSync(logPath, '', { mode: 0o600 })

  const calls = (): RecordedCall[] => {
    const lines = readFileSync(logPath, 'utf8').split('\n')
    lines.pop() // behind the last newline: empty, or a line that is being written
    return lines.map(parseRecordedCall)
  }
  const clear = (): void => {
    rmSync(rulesPath, { force: true })
    for (const name of readdirSync(directory))
      if (name.startsWith('p11fault.rules.met-')) rmSync(join(directory, name), { force: true })
  }
  return {
    modulePath: compileC({
      source: SOURCE,
      cache: 'faults',
      output: 'libp11fault.so',
      shared: true,
    }),
    env: {
      P11FAULT_MODULE: realModulePath,
      P11FAULT_RULES: rulesPath,
      ...(options.record === false ? {} : { P11FAULT_LOG: logPath }),
    },
    rules(lines) {
      for (const line of lines) assertRule(line)
      const unfinished = `${rulesPath}.new`
      writeFileSync(unfinished, `${lines.join('\n')}\n`, { mode: 0o600 })
      renameSync(unfinished, rulesPath) // a new inode is what the module looks for
    },
    clear,
    calls,
    countCalls: (functionName) => calls().filter((call) => call.function === functionName).length,
    forgetCalls: () => truncateSync(logPath), // the module appends, so it goes on at the new end
    hang(name) {
      const path = join(directory, `${name}.hang`)
      writeFileSync(path, '')
      return { path, release: () => rmSync(path, { force: true }) }
    },
  }
}

// ── the grammar of rules: its words are read from the C source, so that they stand in one place ─────────────────────────

const SELECTORS = ['skip', 'count', 'pid', 'lane']

function wordsOf(pattern: RegExp): ReadonlySet<string> {
  const source = readFileSync(SOURCE, 'utf8')
  return new Set([...source.matchAll(pattern)].map((match) => match[1] ?? ''))
}
const functionNames = wordsOf(/\bF\((C_\w+)/g)
const ruleKeys = new Set([...wordsOf(/^ {4}\{"(\w+)", [A-Z]/gm), ...SELECTORS])

/** The names of all functions that the module forwards. */
export const PKCS11_FUNCTIONS: readonly string[] = [...functionNames]

function assertRule(line: string): void {
  const [name = '', ...pairs] = line.trim().split(/\s+/)
  if (name !== '*' && !functionNames.has(name))
    throw new TypeError(`no PKCS#11 function is called ${name}: ${line}`)
  for (const pair of pairs) {
    const [key = '', value] = pair.split('=', 2)
    if (!ruleKeys.has(key)) throw new TypeError(`a rule has no ${key}: ${line}`)
    if (value === '') throw new TypeError(`${key}= has no value: ${line}`)
  }
  if (!pairs.some((pair) => !SELECTORS.includes(pair.split('=')[0] ?? '')))
    throw new TypeError(`the rule does nothing: ${line}`)
}

// ── the call log ─────────────────────────────────────────────────────────────────────────────────────────────────────

const NUMBER_FIELDS = {
  key: 'key',
  with: 'with',
  made: 'made',
  mech: 'mechanism',
  in: 'inBytes',
  user: 'user',
  class: 'class',
} as const satisfies Record<string, keyof RecordedCall>

function parseRecordedCall(line: string): RecordedCall {
  const [ns = '', pid, name = '', ...rest] = line.split(' ')
  const injected = rest.at(-1) === 'INJECTED'
  const fields = new Map(rest.map((pair) => pair.split('=', 2) as [string, string]))
  const rv = fields.get('rv')
  const attributes = fields.get('attrs')
  const call: Record<string, unknown> = {
    atNs: BigInt(ns),
    pid: Number(pid),
    function: name,
    rv: rv === 'none' ? undefined : Number(rv),
    us: Number(fields.get('us')),
    injected,
  }
  for (const [key, property] of Object.entries(NUMBER_FIELDS))
    if (fields.has(key)) call[property] = Number(fields.get(key))
  if (attributes) call['attributes'] = attributes.split(',').map(Number)
  return call as unknown as RecordedCall
}
