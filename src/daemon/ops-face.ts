import type { Server } from 'node:http'
import { createOpsServer, type OpsParts } from '../http/ops-server.ts'
import type { ListenAddress } from './listen-address.ts'
import { formatEndpoint } from './listen-address.ts'
import { drain, listenOn } from './tcp-server.ts'

/** The ops port from before there is anything to tell of: alive, and not ready, with the reason. */
export class OpsFace {
  /** Why there is nothing to tell of yet. */
  startingReason = 'starting'
  readonly #address: ListenAddress
  readonly #server: Server
  #endpoint: string | undefined
  #parts: OpsParts | undefined

  constructor(address: ListenAddress) {
    this.#address = address
    this.#server = createOpsServer({
      readiness: async () =>
        (await this.#parts?.readiness()) ?? { ready: false, reasons: [this.startingReason] },
      metrics: async () => (await this.#parts?.metrics()) ?? '',
    })
  }

  /** Answers where it listens; a second call finds it listening. Throws ConfigError. */
  async listen(): Promise<string> {
    this.#endpoint ??= formatEndpoint(
      await listenOn(this.#server, this.#address, 'ops.listen'),
      'http',
    )
    return this.#endpoint
  }

  /** From now on `parts` are asked. */
  tellOf(parts: OpsParts): void {
    this.#parts = parts
  }

  async close(): Promise<void> {
    if (this.#endpoint !== undefined) await drain(this.#server, 0)
  }
}
