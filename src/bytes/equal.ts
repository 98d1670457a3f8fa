import { timingSafeEqual } from 'node:crypto'

/** Compares without telling by its time where the bytes differ; a different length is simply unequal. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
