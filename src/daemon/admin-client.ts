import { request } from 'node:http'
import { codeOf } from './private-file.ts'

/** What the daemon answered to an administrative action that it would or could not do. */
export class AdminFailure extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'AdminFailure'
  }
}

/** Asks the running daemon. Throws AdminFailure with the daemon's own words. */
export async function askDaemon(
  socketPath: string,
  action: string,
  parameters: object,
): Promise<unknown> {
  const { status, body } = await post(socketPath, `/${action}`, JSON.stringify(parameters))
  const reply = JSON.parse(body) as { result?: unknown; error?: { message: string } }
  if (status === 200) return reply.result
  throw new AdminFailure(reply.error?.message ?? `the daemon answered ${status}`)
}

function post(
  socketPath: string,
  path: string,
  body: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(new AdminFailure(`the daemon does not answer at ${socketPath} (${codeOf(error)})`))
    const call = request({ socketPath, path, method: 'POST' }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      )
    })
    call.on('error', fail)
    call.end(body)
  })
}
