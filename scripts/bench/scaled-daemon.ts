import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TestAuthority } from '../../test/support/certificates.ts'
import { encryptCall, type XksCall, type XksEndpoint } from '../../test/support/xks-request.ts'
import { freePort } from '../../test/support/free-port.ts'
import { type BenchDaemon, startBenchDaemon } from './bench-daemon.ts'

const LAUNCHER = join(import.meta.dirname, '..', 'hsm-bridge')
const KEYS_IN_USE = 10

/** A daemon with an XKS face on a state directory that exists, and a few external keys in use. */
export class ScaledDaemon {
  readonly target: { readonly endpoint: XksEndpoint; readonly requests: readonly XksCall[] }
  readonly #daemon: BenchDaemon

  private constructor(daemon: BenchDaemon, target: ScaledDaemon['target']) {
    this.#daemon = daemon
    this.target = target
  }

  static async start(directory: string): Promise<ScaledDaemon> {
    const authority = await TestAuthority.create()
    const { cert, key } = await authority.issue({})
    const [certFile, keyFile] = [`${directory}.pem`, `${directory}.key`]
    writeFileSync(certFile, cert)
    writeFileSync(keyFile, key, { mode: 0o600 })
    const port = await freePort()
    const tls = `{certFile: "${certFile}", keyFile: "${keyFile}"}`
    const daemon = await startBenchDaemon(directory, [
      `xks: {listen: "127.0.0.1:${port}", tls: ${tls}, stores: [{name: store, uriPathPrefix: /prefix}]}`,
    ])
    try {
      return new ScaledDaemon(daemon, await prepare(daemon, directory, port, authority.cert))
    } catch (error) {
      await daemon.stop()
      throw error
    }
  }

  stop(): Promise<void> {
    return this.#daemon.stop()
  }
}

/** Makes keys and a credential. */
async function prepare(
  daemon: BenchDaemon,
  directory: string,
  port: number,
  ca: string,
): Promise<ScaledDaemon['target']> {
  const cli = (...words: readonly string[]) =>
    execFileSync(LAUNCHER, [...words, '--config', daemon.configPath, '--state', directory])
  const ids = Array.from({ length: KEYS_IN_USE }, (_, i) => `key-${i}`)
  for (const id of ids) cli('xks', 'key', 'create', `store/${id}`)
  const credentialFile = `${directory}.credential.json`
  cli('xks', 'config-file', 'store', '--out', credentialFile)
  const { XksProxyAuthenticationCredential: it } = JSON.parse(
    readFileSync(credentialFile, 'utf8'),
  ) as {
    XksProxyAuthenticationCredential: { AccessKeyId: string; RawSecretAccessKey: string }
  }
  await daemon.settled()
  const endpoint: XksEndpoint = {
    host: '127.0.0.1',
    port,
    region: 'us-east-1',
    accessKeyId: it.AccessKeyId,
    secretAccessKey: it.RawSecretAccessKey,
    uriPathPrefix: '/prefix',
    ca,
  }
  return { endpoint, requests: ids.map((id) => encryptCall(id, Buffer.alloc(32, 7))) }
}
