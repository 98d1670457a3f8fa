import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createSmallServer } from './small-server.ts'

export interface Readiness {
  readonly ready: boolean
  /** What is wrong, one line each, fit for anybody who can reach the port. */
  readonly reasons: readonly string[]
}

export interface OpsParts {
  /** Does a real token operation; asked once at a time. */
  readonly readiness: () => Promise<Readiness>
  /** Prometheus text. */
  readonly metrics: () => Promise<string>
}

interface PlainText {
  readonly status: number
  readonly text: string
  readonly type?: string
}

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Nobody keeps a connection by not reading; a check of the token may take a while. */
const STALL_MS = 30_000

/** Health and metrics for machines: `/livez`, `/readyz`, `/metrics`. Says nothing of versions. */
export function createOpsServer({ readiness, metrics }: OpsParts): Server {
  const readinessOnce = oneAtATime(readiness)
  const pages = new Map<string, () => Promise<PlainText>>([
    ['/livez', async () => ({ status: 200, text: 'live\n' })],
    ['/readyz', async () => readinessPage(await readinessOnce())],
    ['/metrics', async () => ({ status: 200, text: await metrics(), type: METRICS_TYPE })],
  ])
  const server = createSmallServer((request, response) => {
    void page(request, pages).then((answer) => send(response, answer))
  })
  server.timeout = STALL_MS
  return server
}

async function page(
  { method, url }: IncomingMessage,
  pages: ReadonlyMap<string, () => Promise<PlainText>>,
): Promise<PlainText> {
  const make = pages.get(url ?? '')
  if (make === undefined) return { status: 404, text: 'not found\n' }
  if (method !== 'GET') return { status: 405, text: 'method not allowed\n' }
  try {
    return await make()
  } catch {
    return { status: 503, text: 'unavailable\n' } // whoever threw has logged it
  }
}

function readinessPage({ ready, reasons }: Readiness): PlainText {
  const text = [ready ? 'ready' : 'not ready', ...reasons, ''].join('\n')
  return { status: ready ? 200 : 503, text }
}

function send(response: ServerResponse, { status, text, type }: PlainText): void {
  response.writeHead(status, {
    'Content-Type': type ?? 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    ...(status === 405 && { Allow: 'GET' }),
  })
  response.end(text)
}

/** Callers that come while one is asking share its answer, so that a flood of probes is one token operation at a time. */
function oneAtATime<T>(ask: () => Promise<T>): () => Promise<T> {
  let asking: Promise<T> | undefined
  return () => {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }
}
