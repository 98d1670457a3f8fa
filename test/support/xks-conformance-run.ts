import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConformanceReport } from '../../src/xks/conformance/run-conformance.ts'
import { TestAuthority } from './certificates.ts'
import { importByTool } from './pkcs11-tool.ts'
import { OTHER_PREFIX, STORE, type XksDaemonUnderTest } from './xks-daemon.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'scripts', 'hsm-bridge')
/** For machines of tests, which are noisy: what is held to the 250 ms of AWS KMS asks for them. */
const UNHURRIED = ['--latest-ms', '2000']

/** Runs the tool as somebody else would. */
export function conformanceOf(args: readonly string[]) {
  return new Promise<{ report: ConformanceReport; exitCode: unknown }>((resolve, reject) => {
    const all = ['xks-conformance', '--json', '--strict', ...args]
    execFile(LAUNCHER, all, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr))
      else resolve({ report: JSON.parse(stdout) as ConformanceReport, exitCode: error?.code ?? 0 })
    })
  })
}

/** A key of known bytes, so that the tool can compute AES-GCM itself, and one of every kind that rows ask for. */
export async function makeConformanceKeys(xks: XksDaemonUnderTest, value: Buffer): Promise<void> {
  importByTool(xks.daemon.token, { id: '0a', label: 'known' }, value)
  const adoption = { id: '0a', acceptImported: true, encryptionsSoFar: 0 }
  const both = ['ENCRYPT', 'DECRYPT']
  await xks.administer('xks key adopt', { name: `${STORE}/known`, keyUsage: both, ...adoption })
  await xks.createKey('disabled')
  await xks.createKey('encrypt-only', ['ENCRYPT'])
  await xks.createKey('decrypt-only', ['DECRYPT'])
  await xks.administer('xks key disable', { name: `${STORE}/disabled` })
}

/** An empty `lateness` leaves the tool its own limit, that of AWS KMS. */
export async function conformanceArguments(
  xks: XksDaemonUnderTest,
  value: Buffer,
  lateness: readonly string[] = UNHURRIED,
): Promise<string[]> {
  const [first, second] = [await xks.writeConfigFile(), await xks.writeConfigFile()]
  return [
    ...['--endpoint', xks.url.origin, '--region', xks.daemon.region],
    ...['--credentials-file', first, '--second-credentials-file', second],
    ...['--key-id', 'known', '--key-bytes-file', fileOf(xks, 'bytes', value.toString('hex'))],
    ...['--disabled-key-id', 'disabled', '--encrypt-only-key-id', 'encrypt-only'],
    ...['--decrypt-only-key-id', 'decrypt-only', '--other-prefix', OTHER_PREFIX],
    ...['--ca-file', fileOf(xks, 'ca.pem', xks.authority.cert)],
    ...['--idle-seconds', '1', ...lateness],
  ]
}

export async function clientArguments(xks: XksDaemonUnderTest): Promise<string[]> {
  const options = { names: ['client'], purpose: 'client' } as const
  const client = await xks.authority.issue(options)
  const stranger = await (await TestAuthority.create('another CA')).issue(options)
  return [
    ...['--client-cert', fileOf(xks, 'client.pem', client.cert)],
    ...['--client-key', fileOf(xks, 'client.key', client.key)],
    ...['--stranger-cert', fileOf(xks, 'stranger.pem', stranger.cert)],
    ...['--stranger-key', fileOf(xks, 'stranger.key', stranger.key)],
  ]
}

function fileOf({ daemon }: XksDaemonUnderTest, name: string, text: string): string {
  const path = join(daemon.directory, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

export function failuresOf({ results }: ConformanceReport): string[] {
  return results
    .filter(({ outcome }) => outcome === 'fail')
    .map((it) => `${it.id} ${it.title}: ${JSON.stringify(it.faults)}`)
}

export function skipsOf({ results }: ConformanceReport): string[] {
  return results
    .filter(({ outcome }) => outcome === 'skip')
    .map(({ id, reason }) => `${id} ${reason}`)
}
