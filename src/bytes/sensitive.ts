import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/** A secret that shows itself in no log, error or JSON dump. `reveal()` is the only way to the value. */
export class Sensitive<T> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  reveal(): T {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}
