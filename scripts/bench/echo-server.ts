import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

/**
 * The ceiling that the daemon is compared with: bare node:http that reads a request whole and answers as many bytes, under
 * the same headers, as the daemon would. `echo-server.ts <reply bytes> [<certificate> <key>]` prints its port.
 */
const [bytes, certFile, keyFile] = process.argv.slice(2)
const reply = Buffer.alloc(Number(bytes), 'x')
let second = 0
let date = ''

const echo: RequestListener = (request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    Buffer.concat(chunks)
    response.writeHead(200, {
      'x-amzn-RequestId': randomUUID(),
      'Content-Type': 'application/x-amz-json-1.1',
      'Content-Length': reply.length,
      Date: httpDate(),
      'Cache-Control': 'no-store',
    })
    response.end(reply)
  })
}
const server =
  certFile === undefined || keyFile === undefined
    ? createServer(echo)
    : createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, echo)
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))

/** Made once a second, as the daemon does. */
function httpDate(): string {
  const now = Math.floor(Date.now() / 1000)
  if (now !== second) {
    second = now
    date = new Date(now * 1000).toUTCString()
  }
  return date
}
