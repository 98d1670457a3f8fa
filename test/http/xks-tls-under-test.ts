import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { expect } from 'chai'
import type { TlsMaterial } from '../../src/http/tls-material.ts'
import type { XksServerParts } from '../../src/http/xks-server.ts'
import { XksTls, type XksTlsOptions } from '../../src/http/xks-tls.ts'
import { readAnswer, targetOf, XksFaceUnderTest } from './xks-face-under-test.ts'

/** Faces over TLS, and whoever visits them, until they are stopped. */
export class XksTlsUnderTest {
  readonly warnings: Readonly<Record<string, unknown>>[] = []
  readonly #logger = {
    warn: (message: string, facts: object) => void this.warnings.push({ message, ...facts }),
  }
  readonly #faces: XksFaceUnderTest[] = []
  readonly #sockets: TLSSocket[] = []

  async start(
    material: TlsMaterial,
    options: XksTlsOptions = {},
    parts: Partial<XksServerParts> = {},
  ) {
    const tls = new XksTls(material, { logger: this.#logger, ...options })
    const face = await new XksFaceUnderTest({}, { ...parts, tls }).start()
    this.#faces.push(face)
    return { tls, face }
  }

  /** Connects, calls once, and tells what it saw; rejects when the connection does. */
  async visit(face: XksFaceUnderTest, options: ConnectionOptions) {
    const socket = connect({
      port: face.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ALPNProtocols: ['http/1.1'],
      ...options,
    })
    this.#sockets.push(socket)
    let session: Buffer | undefined
    socket.on('session', (given: Buffer) => {
      session = given
    })
    await once(socket, 'secureConnect')
    socket.write(face.sign(targetOf('health')))
    const { status } = await readAnswer(socket)
    expect(status, 'the connection closed without an answer').not.to.satisfy(Number.isNaN)
    await pause(5) // tickets come behind
    return {
      status,
      suite: socket.getCipher().standardName,
      protocol: socket.getProtocol(),
      alpn: socket.alpnProtocol,
      fingerprint: socket.getPeerCertificate().fingerprint256,
      reused: socket.isSessionReused(),
      session,
      socket,
    }
  }

  async assertRefused(face: XksFaceUnderTest, options: ConnectionOptions): Promise<void> {
    const served = face.requests.length
    const seen = await this.visit(face, options).catch((error: unknown) => error)
    expect(seen).to.be.instanceOf(Error)
    expect(face.requests.slice(served)).to.deep.equal([])
  }

  async stop(): Promise<void> {
    this.warnings.length = 0
    for (const socket of this.#sockets.splice(0)) socket.destroy()
    for (const face of this.#faces.splice(0)) await face.stop()
  }
}
