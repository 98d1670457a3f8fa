/** One thing that is not as it must be. */
export interface Fault {
  /** Which of a row's cases; undefined where a row has only one. */
  readonly case: string | undefined
  readonly expected: string
  readonly received: string
}

/** A row does not hold, for each of these faults. */
export class Nonconformity extends Error {
  readonly faults: readonly Fault[]

  constructor(faults: readonly Fault[]) {
    super(
      faults.map(({ expected, received }) => `expected ${expected}, got ${received}`).join('; '),
    )
    this.name = 'Nonconformity'
    this.faults = faults
  }
}

/** A row cannot be asked here, for this reason: a key that was not named, or a feature that is optional. */
export class NotApplicable extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'NotApplicable'
  }
}

/** The connection ended, or time passed, before there was an answer. */
export class NoAnswer extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'NoAnswer'
  }
}

/** Checks every case, also after one that fails, so that a report has all of them. */
export async function everyCase<T>(
  cases: Iterable<readonly [name: string, value: T]>,
  check: (value: T) => Promise<void> | void,
): Promise<void> {
  const faults: Fault[] = []
  for (const [name, value] of cases) {
    const found = await faultsOf(() => check(value))
    faults.push(...found.map((fault) => ({ ...fault, case: join(name, fault.case) })))
  }
  if (faults.length > 0) throw new Nonconformity(faults)
}

/** What a check found; nothing when it passed. Errors that are no finding go on. */
export async function faultsOf(check: () => Promise<void> | void): Promise<readonly Fault[]> {
  try {
    await check()
    return []
  } catch (error) {
    if (error instanceof Nonconformity) return error.faults
    if (error instanceof NoAnswer)
      return [{ case: undefined, expected: 'an answer', received: error.message }]
    throw error
  }
}

/** Throws Nonconformity. */
export function nonconforming(expected: string, received: string): never {
  throw new Nonconformity([{ case: undefined, expected, received }])
}

function join(name: string, inner: string | undefined): string {
  return inner === undefined ? name : `${name}, ${inner}`
}
