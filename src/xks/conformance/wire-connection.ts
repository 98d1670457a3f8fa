import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import type { Answer } from './answer.ts'
import { AnswerReader } from './answer-reader.ts'
import { NoAnswer } from './nonconformity.ts'

/** Where to connect, and how TLS is to be done there. */
export interface WireEndpoint {
  readonly url: URL
  readonly tls: ConnectionOptions
}

const CONNECT_TIMEOUT_MS = 5_000

/** One connection. Bytes go over it as they are given: an HTTP client would mend what a row breaks on purpose. */
export class WireConnection {
  readonly #socket: Socket | TLSSocket
  #reusable = true

  private constructor(socket: Socket | TLSSocket) {
    this.#socket = socket
    socket.on('error', () => this.close()) // whoever waits for an answer sees the close
  }

  /** Throws NoAnswer when there is no connection, with the reason of TCP or TLS. */
  static async open({ url, tls }: WireEndpoint, overTls = url.protocol === 'https:') {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    const servername = isIP(host) === 0 ? host : ''
    const socket = overTls
      ? connectTls({ ALPNProtocols: ['http/1.1'], servername, ...tls, host, port })
      : connectTcp({ host, port })
    socket.setNoDelay(true)
    await connected(socket, overTls ? 'secureConnect' : 'connect')
    return new WireConnection(socket)
  }

  /** Whether another request may go over it. */
  get reusable(): boolean {
    return this.#reusable && !this.#socket.destroyed && this.#socket.readable
  }

  /** What TLS agreed upon; undefined for plain TCP. */
  get tls(): TLSSocket | undefined {
    return 'getCipher' in this.#socket ? this.#socket : undefined
  }

  /** Sends the bytes of one request and reads its answer. Throws NoAnswer. */
  exchange(bytes: Buffer | string, { bodyless = false, timeoutMs = 5_000 } = {}): Promise<Answer> {
    const socket = this.#socket
    const reader = new AnswerReader(bodyless)
    const started = performance.now()
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const settle = (read: () => ReturnType<AnswerReader['add']>, last?: string) => {
      try {
        const whole = read()
        if (whole) {
          this.#reusable = whole.keepsAlive
          resolve({ ...whole, milliseconds: performance.now() - started })
        } else if (last !== undefined) throw new NoAnswer(last)
      } catch (error) {
        this.close()
        reject(error instanceof Error ? error : new NoAnswer(String(error)))
      }
    }
    const onData = (piece: Buffer) => settle(() => reader.add(piece))
    const onClose = () =>
      settle(
        () => reader.end(),
        reader.empty ? 'a connection closed without an answer' : 'half of an answer',
      )
    const timer = setTimeout(() => {
      this.close()
      reject(new NoAnswer(`silence for ${timeoutMs} ms`))
    }, timeoutMs)
    socket.on('data', onData).on('end', onClose).on('close', onClose)
    if (socket.destroyed || !socket.readable) onClose()
    else socket.write(bytes)
    return promise.finally(() => {
      clearTimeout(timer)
      socket.off('data', onData).off('end', onClose).off('close', onClose)
    })
  }

  close(): void {
    this.#reusable = false
    this.#socket.destroy()
  }
}

async function connected(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const refused = (why: string) => reject(new NoAnswer(`no connection: ${why}`))
  const onError = ({ message }: Error) => refused(message)
  const onClose = () => refused('it was closed')
  const timer = setTimeout(() => refused('nobody answers'), CONNECT_TIMEOUT_MS)
  socket.once(event, resolve).on('error', onError).on('close', onClose)
  try {
    await promise
  } catch (error) {
    socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
    socket.off(event, resolve).off('close', onClose)
    if (!socket.destroyed) socket.off('error', onError)
  }
}
