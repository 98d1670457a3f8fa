import type { IncomingMessage } from 'node:http'
import { expect } from 'chai'
import { factsOf } from '../../src/http/request-facts.ts'

describe('factsOf', () => {
  const facts = (remoteAddress: string | undefined, encrypted?: true, userAgent?: string) =>
    factsOf(
      {
        socket: { remoteAddress, encrypted },
        headers: { 'user-agent': userAgent },
      } as never as IncomingMessage,
      'id',
      7,
    )

  for (const [shown, address] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1'],
    [undefined, ''],
  ] as const) {
    it(`gives the peer ${shown} to policies as ${JSON.stringify(address)}`, () => {
      expect(facts(shown).sourceIp).to.equal(address)
    })
  }

  it('knows TLS from plain HTTP', () => {
    expect(facts('192.0.2.1', true).secureTransport).to.equal(true)
    expect(facts('192.0.2.1').secureTransport).to.equal(false)
  })

  it('cuts a user agent that is too long, and has none for none', () => {
    expect(facts('192.0.2.1', true, 'a'.repeat(2000)).userAgent).to.have.lengthOf(1024)
    expect(facts('192.0.2.1').userAgent).to.equal('')
  })
})
