import { expect } from 'chai'
import type { Session } from '../../src/pkcs11/session.ts'
import { type CipherStep, runSteps, runStepsAsync, type Steps } from '../../src/token/lane-steps.ts'

describe('work in steps', () => {
  // A session that gives its input back, or fails.
  const session = {
    encrypt: (_mechanism: unknown, _key: Buffer, input: Buffer) => echo(input),
    encryptAsync: async (_mechanism: unknown, _key: Buffer, input: Buffer) => echo(input),
  } as unknown as Session
  const echo = (input: Buffer) => {
    if (input.length === 0) throw new Error('refused')
    return Buffer.from(input)
  }
  const step = (text: string): CipherStep => ({
    call: 'encrypt',
    session,
    mechanism: { mechanism: 1, parameter: null },
    key: Buffer.alloc(8),
    input: Buffer.from(text),
    maxOutputBytes: 16,
  })

  function* work(log: string[]): Steps<string> {
    try {
      log.push(String(yield step('one')))
      yield step('')
      return 'not reached'
    } catch (error) {
      log.push((error as Error).message)
      return String(yield step('two'))
    } finally {
      log.push('given back')
    }
  }

  for (const [form, run] of [
    ['synchronous', runSteps],
    ['promise', runStepsAsync],
  ] as const) {
    it(`hears outputs and errors where they happened: ${form} form`, async () => {
      const log: string[] = []
      expect(await run(work(log))).to.equal('two')
      expect(log).to.deep.equal(['one', 'refused', 'given back'])
    })

    it(`passes on what it throws itself: ${form} form`, async () => {
      function* failing(): Steps<never> {
        yield step('one')
        throw new TypeError('mine')
      }
      let thrown: unknown
      try {
        await run(failing())
      } catch (error) {
        thrown = error
      }
      expect(thrown).to.be.instanceOf(TypeError)
    })
  }
})
