import type { IncomingMessage } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import { expect } from 'chai'
import { HttpRefusal } from '../../src/http/http-refusal.ts'
import { BodyBudget, readBody } from '../../src/http/request-body.ts'

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

  it('AT-K09, AT-H18: a body of single bytes is whole, and what carried them is wiped', async () => {
    const chunks = Array.from({ length: 1_000 }, (_, i) => Buffer.from([i % 251]))
    const sent = Buffer.concat(chunks)
    expect(await readBody(requestOf(chunks), 1_000)).to.deep.equal(sent)
    expect(Buffer.concat(chunks)).to.deep.equal(Buffer.alloc(1_000))
  })

  describe('with a budget', () => {
    const refusal = new Error('no memory')
    const newBudget = () => new BodyBudget(10, () => refusal)

    it('AT-H18: holds what has arrived of all bodies, until they are whole or refused', async () => {
      const budget = newBudget()
      const [one, other] = [new PassThrough(), new PassThrough()]
      const open = (stream: PassThrough) =>
        readBody(Object.assign(stream, { headers: {} }) as never, 9, budget)
      const reading = open(one)
      one.write('12345')
      await new Promise(setImmediate)
      expect(budget.freeBytes).to.equal(5)
      const refused = open(other).catch((thrown: unknown) => thrown)
      other.write('123456')
      expect(await refused).to.equal(refusal)
      expect(budget.freeBytes).to.equal(5)
      one.end('6789')
      expect((await reading).toString()).to.equal('123456789')
      expect(budget.freeBytes).to.equal(10)
    })

    for (const [what, send] of [
      ['too long', (stream: PassThrough) => stream.end(Buffer.alloc(20))],
      ['broken off', (stream: PassThrough) => stream.destroy(new Error('reset'))],
      ['closed', (stream: PassThrough) => stream.destroy()],
    ] as const) {
      it(`AT-H18: a body that is ${what} gives back all that it held`, async () => {
        const budget = newBudget()
        const stream = new PassThrough()
        const request = Object.assign(stream, { headers: {} }) as never
        const reading = readBody(request, 9, budget).catch((thrown: unknown) => thrown)
        const kept = Buffer.from('1234')
        stream.write(kept)
        await new Promise(setImmediate)
        expect(budget.freeBytes).to.equal(6)
        send(stream)
        expect(await reading).to.be.instanceOf(HttpRefusal)
        expect(budget.freeBytes).to.equal(10)
        expect(kept, 'AT-K09').to.deep.equal(Buffer.alloc(4))
      })
    }
  })
})
