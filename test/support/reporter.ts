import { styleText } from 'node:util'
import Mocha from 'mocha'

const { EVENT_RUN_END, EVENT_SUITE_BEGIN, EVENT_SUITE_END, EVENT_TEST_FAIL, EVENT_TEST_PASS } =
  Mocha.Runner.constants
const { EVENT_TEST_PENDING } = Mocha.Runner.constants

/**
 * One line per file while it runs, then slow tests, skips with their reasons, failures, and as the last line exactly
 * `N passed, N failed, N skipped`, which CI reads.
 */
export default class Reporter {
  #passed = 0
  readonly #slow: string[] = []
  readonly #skips: string[] = []
  readonly #failures: string[] = []
  #file: string | undefined
  #fileStarted = 0

  constructor(runner: Mocha.Runner) {
    runner.on(EVENT_SUITE_BEGIN, (suite) => this.#enter(suite))
    runner.on(EVENT_TEST_PASS, (test) => this.#pass(test))
    runner.on(EVENT_TEST_FAIL, (test, error) => this.#fail(test, error))
    runner.on(EVENT_TEST_PENDING, (test) => this.#skips.push(titleWithReason(test)))
    runner.on(EVENT_SUITE_END, (suite) => suite.root && this.#endOfFile())
    runner.on(EVENT_RUN_END, () => this.#end())
  }

  #enter(suite: Mocha.Suite): void {
    if (suite.file === undefined || suite.file === this.#file) return
    this.#endOfFile()
    this.#file = suite.file
    this.#fileStarted = performance.now()
  }

  #endOfFile(): void {
    if (this.#file === undefined) return
    const path = this.#file.replace(`${process.cwd()}/`, '')
    print(
      `  ${path} ${styleText('dim', `${Math.round(performance.now() - this.#fileStarted)} ms`)}`,
    )
    this.#file = undefined
  }

  #pass(test: Mocha.Test): void {
    this.#passed += 1
    if (test.speed === 'slow') this.#slow.push(`${test.duration} ms  ${test.fullTitle()}`)
  }

  #fail(test: Mocha.Test, error: Error): void {
    this.#failures.push(test.fullTitle())
    print(styleText('red', `\nFAILED ${test.fullTitle()}`))
    print(`${describe(error)}\n`)
  }

  #end(): void {
    section('Slow tests', this.#slow)
    section('Skipped', this.#skips)
    section('Failed', this.#failures)
    print(
      `\n${this.#passed} passed, ${this.#failures.length} failed, ${this.#skips.length} skipped`,
    )
  }
}

function titleWithReason(test: Mocha.Test): string {
  // The reason stands in the title of the test, or of a suite above it (test/support/skip.ts).
  return test.fullTitle()
}

function describe(error: Error & { actual?: unknown; expected?: unknown }): string {
  const difference =
    'expected' in error && 'actual' in error
      ? `\n  actual:   ${JSON.stringify(error.actual)}\n  expected: ${JSON.stringify(error.expected)}`
      : ''
  return `${error.stack ?? error}${difference}`
}

function section(title: string, lines: readonly string[]): void {
  if (lines.length > 0) print(`\n${title}:\n${lines.map((line) => `  ${line}`).join('\n')}`)
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
