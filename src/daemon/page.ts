import { styleText } from 'node:util'
import Table from 'cli-table3'

/** What a command prints for people. Colour only where a person watches and NO_COLOR is not set. */
export class Page {
  readonly #stream: NodeJS.WriteStream

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  line(text = ''): void {
    this.#stream.write(`${text}\n`)
  }

  heading(text: string): void {
    this.line(this.#styled('bold', text))
  }

  /** Rows under a head, in columns, without a frame: they can be copied and cut. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const table = new Table({
      head: head.map((name) => this.#styled('bold', name)),
      chars: NO_FRAME,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    })
    table.push(...rows.map((row) => [...row]))
    this.line(trimLineEnds(table.toString()))
  }

  /** Names and values, one pair a line. */
  facts(pairs: readonly (readonly [string, string])[]): void {
    const width = Math.max(...pairs.map(([name]) => name.length))
    for (const [name, value] of pairs) this.line(`${name.padEnd(width)}  ${value}`)
  }

  /** `✓ text`, or `✗ text` with the next step below. */
  check(passed: boolean, text: string, nextStep?: string): void {
    this.line(
      passed ? `${this.#styled('green', '✓')} ${text}` : `${this.#styled('red', '✗')} ${text}`,
    )
    if (!passed && nextStep !== undefined) this.line(`    → ${nextStep}`)
  }

  #styled(style: 'bold' | 'green' | 'red', text: string): string {
    return styleText(style, text, { stream: this.#stream })
  }
}

const NO_FRAME = Object.fromEntries(
  [
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left'],
    ['bottom-right', 'left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ]
    .flat()
    .map((part) => [part, '']),
)

function trimLineEnds(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}
