import { expect } from 'chai'
import { Turns } from '../../src/token/turns.ts'

describe('FM-R8: turns', () => {
  it('are taken one after another, also after a failure', async () => {
    const turns = new Turns()
    const order: string[] = []
    const slow = turns.take(1000, async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      order.push('slow')
      throw new Error('failed')
    })
    const next = turns.take(1000, async () => order.push('next'))
    await slow.catch(() => {})
    await next
    expect(order).to.deep.equal(['slow', 'next'])
  })

  it('do not wait for ever for one that does not end', async () => {
    const turns = new Turns()
    void turns.take(1000, () => new Promise(() => {}))
    expect(await turns.take(10, async () => 'went on')).to.equal('went on')
  })
})
