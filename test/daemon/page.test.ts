import { expect } from 'chai'
import { Page } from '../../src/daemon/page.ts'
import { capturedStream } from './captured-stream.ts'

describe('page', () => {
  it('prints tables in plain columns where no person watches', async () => {
    const { stream, text } = capturedStream()
    const page = new Page(stream)
    page.table(
      ['Key', 'State'],
      [
        ['a', 'Enabled'],
        ['long-name', 'Disabled'],
      ],
    )
    page.check(false, 'broken', 'mend it')
    await new Promise(setImmediate)
    expect(text()).equal(
      'Key        State\na          Enabled\nlong-name  Disabled\n✗ broken\n    → mend it\n',
    )
  })
})
