/** A text that is the same all through a second, made once for all who ask within it. */
export class TextOfSecond {
  readonly #make: (epochMs: number) => string
  #second = Number.NaN
  #text = ''

  /** `make` is given the first millisecond of a second. */
  constructor(make: (epochMs: number) => string) {
    this.#make = make
  }

  at(epochMs: number): string {
    const second = Math.floor(epochMs / 1000)
    if (second !== this.#second) {
      this.#text = this.#make(second * 1000)
      this.#second = second
    }
    return this.#text
  }
}
