import { expect } from 'chai'
import type { Logger } from '../../src/daemon/log.ts'
import { Scheduler } from '../../src/daemon/scheduler.ts'

describe('scheduler', () => {
  const errors: unknown[] = []
  const ignore = (): void => {}
  const logger: Logger = {
    error: (_message, facts) => errors.push(facts),
    ...{ warn: ignore, info: ignore, debug: ignore },
  }

  it('runs a task at most once at a time, and waits for it when it stops', async () => {
    const scheduler = new Scheduler(logger)
    const done = Promise.withResolvers<void>()
    let begun = 0
    const started = Promise.withResolvers<void>()
    const run = async (): Promise<void> => {
      begun += 1
      started.resolve()
      await done.promise
    }
    scheduler.add({ name: 'slow', everyMs: 1, run })
    await started.promise
    let stopped = false
    const stop = scheduler.stop().then(() => (stopped = true))
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect([begun, stopped]).deep.equal([1, false])
    done.resolve()
    await stop
  })

  it('logs a failure and goes on', async () => {
    const scheduler = new Scheduler(logger)
    const again = Promise.withResolvers<void>()
    let runs = 0
    const run = (): void => {
      runs += 1
      if (runs === 2) again.resolve()
      throw new Error('no')
    }
    scheduler.add({ name: 'failing', everyMs: 1, run })
    await again.promise
    await scheduler.stop()
    expect(errors.length).greaterThanOrEqual(2)
  })
})
