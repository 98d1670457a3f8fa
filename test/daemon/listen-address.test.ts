import { expect } from 'chai'
import { formatEndpoint, isLoopback, parseListenAddress } from '../../src/daemon/listen-address.ts'

describe('listen address', () => {
  for (const [text, host, port] of [
    ['127.0.0.1:4599', '127.0.0.1', 4599],
    ['[::1]:0', '::1', 0],
    ['localhost:65535', 'localhost', 65535],
  ] as const) {
    it(`reads ${text}`, () => expect(parseListenAddress(text)).deep.equal({ host, port }))
  }

  for (const text of [
    '',
    '4599',
    ':4599',
    '127.0.0.1',
    '127.0.0.1:65536',
    '::1:4599',
    '[x]:1',
    'a b:1',
    '1.2.3.4:-1',
  ]) {
    it(`refuses "${text}"`, () => expect(parseListenAddress(text)).equal(undefined))
  }

  it('knows what only this machine reaches', () => {
    const loopback = (host: string): boolean => isLoopback({ host, port: 1 })
    expect(['127.0.0.1', '127.255.0.1', '::1', 'localhost'].map(loopback)).deep.equal([
      true,
      true,
      true,
      true,
    ])
    expect(
      ['0.0.0.0', '::', '128.0.0.1', 'localhost.evil.example', '::ffff:192.0.2.1'].map(loopback),
    ).deep.equal([false, false, false, false, false])
  })

  it('writes IPv6 in brackets', () => {
    expect(formatEndpoint({ host: '::1', port: 1 }, 'https')).equal('https://[::1]:1')
  })
})
