import { existsSync } from 'node:fs'
import type { CallerUnderTest, DaemonUnderTest } from '../support/daemon-under-test.ts'

/** Members as they stand in JSON: bytes are base64, times are what the client prints. */
export type Members = Readonly<Record<string, unknown>>

/** One real client of AWS, aimed at a daemon under test. */
export interface RealClient {
  readonly name: string
  /** What must be on the machine; a client from npm needs nothing. */
  readonly program?: string
  /** A call takes about a second, so it makes fewer of them. */
  readonly startsSlowly?: boolean
  /** Operations that are newer than the client. */
  readonly lacks?: readonly string[]
  /** Calls one operation, without retries. Throws ClientError for what the service refused. */
  call(
    daemon: DaemonUnderTest,
    operation: string,
    input: Members,
    caller?: CallerUnderTest,
  ): Promise<Members>
}

/** An exception of the service as the client tells it. */
export class ClientError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'ClientError'
    this.code = code
  }
}

/** A suite about a client. Where its program is absent it is a failure in CI and a named skip elsewhere. */
export function describeClient(client: RealClient, suite: () => void): void {
  const { name, program } = client
  if (program === undefined || existsSync(program)) describe(name, suite)
  else if (process.env['CI'] !== 'true') describe.skip(`${name}: ${program} is not here`, suite)
  else {
    it(`${name} is on this machine`, () => {
      throw new Error(`${program} is not here`)
    })
  }
}
