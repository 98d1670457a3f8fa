import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { expect } from 'chai'
import { HttpRefusal } from '../../src/http/http-refusal.ts'
import { readBody } from '../../src/http/request-body.ts'

function requestOf(chunks: readonly Buffer[], headers: Readonly<Record<string, string>> = {}) {
  return Object.assign(Readable.from(chunks), { headers }) as unknown as IncomingMessage
}

describe('readBody', () => {
  it('AT-K09: leaves the bytes in one place only, for whoever wipes them', async () => {
    const chunks = [Buffer.from('plain'), Buffer.from('text')]
    const body = await readBody(requestOf(chunks), 9)
    expect(body.toString()).to.equal('plaintext')
    expect(Buffer.concat(chunks)).to.deep.equal(Buffer.alloc(9))
  })

  for (const [what, request] of [
    ['one byte more', () => requestOf([Buffer.alloc(9), Buffer.alloc(1)])],
    ['a length far beyond', () => requestOf([], { 'content-length': '1000' })],
  ] as const) {
    it(`AT-H04: refuses ${what} than may be`, async () => {
      const error = await readBody(request(), 9).catch((thrown: unknown) => thrown)
      expect(error).to.be.instanceOf(HttpRefusal).with.property('code', 'BODY_TOO_LARGE')
    })
  }
})
