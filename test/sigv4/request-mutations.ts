import type { SignedRequest } from '../../src/sigv4/verify-signature.ts'

/** A whole number from 0 up to, not including, `below`. */
export type Random = (below: number) => number

/** mulberry32: small, and the same on every machine. */
export function seededRandom(seed: number): Random {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

export function mutateBody(request: SignedRequest, random: Random): SignedRequest {
  const body = Buffer.from(request.body)
  if (body.length === 0) return { ...request, body: Buffer.from('a') }
  const at = random(body.length)
  body[at] = (body[at] as number) ^ (1 << random(8))
  return { ...request, body }
}

export function mutateHeader(request: SignedRequest, random: Random): SignedRequest {
  const rawHeaders = [...request.rawHeaders]
  const at = signedHeaderAt(rawHeaders, random)
  const value = rawHeaders[at + 1] as string
  const inside = /[^ \t]/.test(value) ? firstVisible(value, random) : 0
  const other = value[inside] === 'q' ? 'r' : 'q'
  rawHeaders[at + 1] = value.slice(0, inside) + other + value.slice(inside + 1)
  return { ...request, rawHeaders }
}

function firstVisible(value: string, random: Random): number {
  for (;;) {
    const at = random(value.length)
    if (!' \t'.includes(value[at] as string)) return at
  }
}

export function repeatHeader(request: SignedRequest, random: Random): SignedRequest {
  const at = signedHeaderAt(request.rawHeaders, random)
  const copy = [
    (request.rawHeaders[at] as string).toUpperCase(),
    request.rawHeaders[at + 1] as string,
  ]
  return { ...request, rawHeaders: [...request.rawHeaders, ...copy] }
}

/** Of a header that the signature covers, or of the one that it stands in. */
function signedHeaderAt(rawHeaders: readonly string[], random: Random): number {
  const names = rawHeaders.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : ''))
  const authorization = rawHeaders[names.indexOf('authorization') + 1] ?? ''
  const signed = /SignedHeaders=([^, ]+)/.exec(authorization)?.[1]?.split(';') ?? []
  for (;;) {
    const at = 2 * random(rawHeaders.length / 2)
    const name = names[at] as string
    if (name === 'authorization' || signed.includes(name)) return at
  }
}
