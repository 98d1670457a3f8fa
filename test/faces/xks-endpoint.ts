import { existsSync } from 'node:fs'
import type { Suite } from 'mocha'
import type { ReferenceCredential } from '../support/reference-sigv4.ts'
import { PREFIX, XksDaemonUnderTest } from '../support/xks-daemon.ts'

/** The XKS face of a real daemon, as real clients and TLS fronts are tried on it. */
export interface XksEndpoint {
  readonly url: URL
  readonly uriPathPrefix: string
  readonly region: string
  readonly credential: ReferenceCredential
  /** Encrypts and decrypts. */
  readonly keyId: string
  /** PEM; undefined without TLS. */
  readonly ca: string | undefined
  /** kmsRequestId of every authentic request that reached it, by its audit spool. */
  arrived(): readonly string[]
  stop(): Promise<void>
}

/** A daemon with one key. */
export async function startDaemonEndpoint({
  tls,
}: {
  readonly tls: boolean
}): Promise<XksEndpoint> {
  const xks = await XksDaemonUnderTest.start({ plainHttp: !tls })
  const keyId = await xks.createKey('key')
  const { accessKeyId, secretAccessKey, region, ca } = xks.endpoint()
  return {
    url: xks.url,
    uriPathPrefix: PREFIX,
    region,
    credential: { accessKeyId, secretAccessKey },
    keyId,
    ca,
    arrived: () =>
      xks
        .records()
        .map(({ requestParameters }) => requestParameters.requestMetadata?.['kmsRequestId'] ?? ''),
    stop: () => xks.stop(),
  }
}

/** A suite about a program of the machine. Where it is absent it is a failure in CI and a named skip elsewhere. */
export function describeProgram(
  program: string,
  title: string,
  suite: (this: Suite) => void,
): void {
  if (existsSync(program)) describe(title, suite)
  else if (process.env['CI'] !== 'true') describe.skip(`${title}: ${program} is not here`, suite)
  else {
    it(`${program} is on this machine`, () => {
      throw new Error(`${program} is not here`)
    })
  }
}
