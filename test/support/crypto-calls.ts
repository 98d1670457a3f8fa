import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

type AnyFunction = (...args: unknown[]) => unknown

/** How often each function of node:crypto is called in this process until `work` ends; what they do stays what it was. */
export async function countCryptoCalls(work: () => unknown): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const real: Record<string, AnyFunction> = {}
  for (const [name, { value, writable }] of Object.entries(
    Object.getOwnPropertyDescriptors(crypto),
  )) {
    if (writable !== true || !isPlainFunction(name, value)) continue
    real[name] = value
    const counted: AnyFunction = (...args) => {
      counts[name] = (counts[name] ?? 0) + 1
      return value(...args)
    }
    Object.assign(crypto, { [name]: counted })
  }
  syncBuiltinESMExports()
  try {
    await work()
  } finally {
    Object.assign(crypto, real)
    syncBuiltinESMExports()
  }
  return counts
}

/** Classes begin with a capital, and are made by functions. */
function isPlainFunction(name: string, value: unknown): value is AnyFunction {
  return typeof value === 'function' && /^[a-z]/.test(name)
}
