import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { RequestReader, replyBytes } from '../../src/token/lane-frames.ts'
import { frameOf } from '../support/lane-client.ts'

describe('frames', () => {
  const DEADLINE = 1_800_000_000_123.5
  const payloads = [Buffer.from('one'), Buffer.alloc(0), randomBytes(3000)]
  const stream = () =>
    Buffer.concat(payloads.map((payload, i) => frameOf(i + 1, i + 2, payload, DEADLINE)))

  it('are read however the stream is cut', () => {
    const whole = stream()
    for (const step of [1, 2, 3, 16, 17, 18, 1000, whole.length]) {
      const reader = new RequestReader()
      const frames = []
      for (let at = 0; at < whole.length; at += step)
        for (const frame of reader.read(Buffer.from(whole.subarray(at, at + step))))
          frames.push({ ...frame, payload: Buffer.from(frame.payload) })
      expect(frames.map(({ id, callNumber }) => [id, callNumber])).to.deep.equal([
        [1, 2],
        [2, 3],
        [3, 4],
      ])
      expect(frames.map(({ payload }) => payload)).to.deep.equal(payloads)
      expect(frames[0]?.deadlineAt).to.equal(DEADLINE)
    }
  })

  it('are wiped in the memory that they were received in', () => {
    const chunk = frameOf(1, 2, Buffer.from('secret plaintext'), DEADLINE)
    for (const frame of new RequestReader().read(chunk)) frame.wipe()
    expect(chunk).to.deep.equal(Buffer.alloc(chunk.length))
  })

  it('leave no half of theirs in received memory', () => {
    const reader = new RequestReader()
    const whole = frameOf(1, 2, Buffer.from('secret plaintext'), DEADLINE)
    const halves = [Buffer.from(whole.subarray(0, 25)), Buffer.from(whole.subarray(25))]
    for (const half of halves) reader.read(half)
    for (const half of halves) expect(half).to.deep.equal(Buffer.alloc(half.length))
  })

  it('of lengths that no request has are refused', () => {
    for (const length of [0, 12, 0x7fff_ffff]) {
      const chunk = Buffer.alloc(8)
      chunk.writeUInt32BE(length)
      expect(() => new RequestReader().read(chunk), `${length}`).to.throw(RangeError)
    }
  })

  it('of replies leave as one run of bytes, and the payloads are wiped', () => {
    const secret = Buffer.from('plaintext')
    const bytes = replyBytes([
      { id: 7, ok: true, payload: secret },
      { id: 8, ok: false, payload: Buffer.from('{}') },
    ])
    expect(bytes.toString('latin1')).to.equal(
      '\0\0\0\x0e\0\0\0\x07\0plaintext\0\0\0\x07\0\0\0\x08\x01{}',
    )
    expect(secret).to.deep.equal(Buffer.alloc(9))
    expect(bytes.buffer.byteLength, 'memory of its own (AT-K09)').to.equal(bytes.length)
  })
})
