import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { ConformanceReport } from '../../src/xks/conformance/run-conformance.ts'
import { TestAuthority } from '../support/certificates.ts'
import { importByTool, PKCS11_TOOL } from '../support/pkcs11-tool.ts'
import {
  OTHER_PREFIX,
  STORE,
  XksDaemonUnderTest,
  type XksDaemonOptions,
} from '../support/xks-daemon.ts'
import { describeProgram } from './xks-endpoint.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'scripts', 'hsm-bridge')
const ROWS = 150

/** As somebody else runs it, against a proxy about which it knows what its options say. */
describeProgram(PKCS11_TOOL, 'hsm-bridge xks-conformance at the XKS face of a daemon', function () {
  this.timeout(60_000)
  const value = randomBytes(32)
  let xks: XksDaemonUnderTest | undefined

  afterEach(() => xks?.stop())

  it('no row fails, not even of our own reading, with an EC certificate, nor with an RSA one', async () => {
    const served = await start()
    for (const keyType of ['EC', 'RSA'] as const) {
      await served.issueCertificate(keyType)
      await served.administer('reload', {})
      const { report, exitCode } = await conformanceOf(await argumentsFor(served, value))
      expect(failuresOf(report), keyType).to.deep.equal([])
      expect(exitCode).to.equal(0)
      expect(skipsOf(report)).to.deep.equal([
        'T-10 --client-cert is not given',
        'T-10 --stranger-cert is not given',
      ])
      expect(report.passed).to.be.greaterThan(ROWS)
    }
  })

  it('XKS T-08, XKS T-13: none fails or is skipped with mutual TLS, and after six seconds of silence', async () => {
    const served = await start({ clientCertificates: { subjectNames: ['client'] } })
    const args = [...(await argumentsFor(served, value)), ...(await clientArguments(served))]
    const { report, exitCode } = await conformanceOf([...args, '--idle-seconds', '6'])
    expect(failuresOf(report)).to.deep.equal([])
    expect(exitCode).to.equal(0)
    expect(skipsOf(report)).to.deep.equal([])
  })

  async function start(options: XksDaemonOptions = {}): Promise<XksDaemonUnderTest> {
    const started = await XksDaemonUnderTest.start({ ...options, otherStore: true })
    xks = started
    await makeKeys(started, value)
    return started
  }
})

function conformanceOf(args: readonly string[]) {
  return new Promise<{ report: ConformanceReport; exitCode: unknown }>((resolve, reject) => {
    const all = ['xks-conformance', '--json', '--strict', ...args]
    execFile(LAUNCHER, all, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr))
      else resolve({ report: JSON.parse(stdout) as ConformanceReport, exitCode: error?.code ?? 0 })
    })
  })
}

/** A key of known bytes, so that the tool can compute AES-GCM itself, and one of every kind that rows ask for. */
async function makeKeys(xks: XksDaemonUnderTest, value: Buffer): Promise<void> {
  importByTool(xks.daemon.token, { id: '0a', label: 'known' }, value)
  const adoption = { id: '0a', acceptImported: true, encryptionsSoFar: 0 }
  const both = ['ENCRYPT', 'DECRYPT']
  await xks.administer('xks key adopt', { name: `${STORE}/known`, keyUsage: both, ...adoption })
  await xks.createKey('disabled')
  await xks.createKey('encrypt-only', ['ENCRYPT'])
  await xks.createKey('decrypt-only', ['DECRYPT'])
  await xks.administer('xks key disable', { name: `${STORE}/disabled` })
}

async function argumentsFor(xks: XksDaemonUnderTest, value: Buffer): Promise<string[]> {
  const [first, second] = [await xks.writeConfigFile(), await xks.writeConfigFile()]
  return [
    ...['--endpoint', xks.url.origin, '--region', xks.daemon.region],
    ...['--credentials-file', first, '--second-credentials-file', second],
    ...['--key-id', 'known', '--key-bytes-file', fileOf(xks, 'bytes', value.toString('hex'))],
    ...['--disabled-key-id', 'disabled', '--encrypt-only-key-id', 'encrypt-only'],
    ...['--decrypt-only-key-id', 'decrypt-only', '--other-prefix', OTHER_PREFIX],
    ...['--ca-file', fileOf(xks, 'ca.pem', xks.authority.cert)],
    ...['--latest-ms', '2000', '--idle-seconds', '1'], // machines of tests are noisy
  ]
}

async function clientArguments(xks: XksDaemonUnderTest): Promise<string[]> {
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

function failuresOf({ results }: ConformanceReport): string[] {
  return results
    .filter(({ outcome }) => outcome === 'fail')
    .map((it) => `${it.id} ${it.title}: ${JSON.stringify(it.faults)}`)
}

function skipsOf({ results }: ConformanceReport): string[] {
  return results
    .filter(({ outcome }) => outcome === 'skip')
    .map(({ id, reason }) => `${id} ${reason}`)
}
