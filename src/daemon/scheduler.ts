import type { Logger } from './log.ts'

/** Work that comes again: at most once at a time, its failures logged, never thrown. */
export interface ScheduledTask {
  readonly name: string
  readonly everyMs: number
  run(): Promise<void> | void
}

export class Scheduler {
  readonly #logger: Logger
  readonly #timers: NodeJS.Timeout[] = []
  readonly #running = new Map<string, Promise<void>>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  add(task: ScheduledTask): void {
    this.#timers.push(setInterval(() => this.#begin(task), task.everyMs).unref())
  }

  /** No task begins any more; resolves when those that run have ended. */
  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    await Promise.all(this.#running.values())
  }

  #begin(task: ScheduledTask): void {
    if (this.#running.has(task.name)) return
    const run = this.#runLogged(task).finally(() => this.#running.delete(task.name))
    this.#running.set(task.name, run)
  }

  async #runLogged(task: ScheduledTask): Promise<void> {
    try {
      await task.run()
    } catch (error) {
      this.#logger.error('a scheduled task failed', { task: task.name, error })
    }
  }
}
