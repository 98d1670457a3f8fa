import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { assertNotZero, IvMonitor } from '../../src/token/iv-monitor.ts'
import { itemAt } from '../support/item-at.ts'

describe('the IV monitor', () => {
  const lie = (work: () => void) => expect(work).to.throw().with.property('code', 'TOKEN_LIED')

  it('passes IVs that differ', () => {
    const monitor = new IvMonitor()
    for (let i = 0; i < 5000; i += 1) monitor.note(randomBytes(12))
  })

  it('stops the lane at an IV that is one of the last 1,024 again (FM-F43)', () => {
    const monitor = new IvMonitor()
    const ivs = Array.from({ length: 1025 }, () => randomBytes(12))
    for (const iv of ivs) monitor.note(iv)
    lie(() => monitor.note(Buffer.from(itemAt(ivs, 1024))))
    lie(() => monitor.note(itemAt(ivs, 1)))
    for (let i = 0; i < 2048; i += 1) monitor.note(randomBytes(12))
    monitor.note(itemAt(ivs, 0)) // out of its memory
  })

  it('stops the lane at an IV of zeros (FM-F43)', () => {
    lie(() => new IvMonitor().note(Buffer.alloc(12)))
  })

  it('takes zeros for a lie only where chance cannot make them', () => {
    lie(() => assertNotZero(Buffer.alloc(12)))
    assertNotZero(Buffer.alloc(11))
    assertNotZero(Buffer.from([...Buffer.alloc(31), 1]))
  })
})
