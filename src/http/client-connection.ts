import type { ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { ProvenClient } from './client-gate.ts'

/** A connection of a client with a certificate, which may be taken back while it is open. */
export class ClientConnection {
  readonly client: ProvenClient
  readonly #socket: TLSSocket
  /** The last of those that are not answered yet. */
  #response: ServerResponse | undefined
  #hasEnded = false

  constructor(socket: TLSSocket, client: ProvenClient) {
    this.#socket = socket
    this.client = client
  }

  /** Whether a request may be served that just came. */
  begin(response: ServerResponse): boolean {
    if (this.#hasEnded) return false
    this.#response = response
    response.once('close', () => {
      if (this.#response === response) this.#response = undefined
    })
    return true
  }

  /** Serves nothing more: what is under way is answered, then the connection is closed. */
  end(): void {
    this.#hasEnded = true
    const response = this.#response
    if (!response) return this.#socket.destroySoon()
    if (!response.headersSent) response.setHeader('Connection', 'close')
    response.once('close', () => this.#socket.destroySoon())
  }
}
