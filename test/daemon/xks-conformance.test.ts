import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Cli } from '../../src/daemon/cli-session.ts'
import { addXksConformance } from '../../src/daemon/commands/xks-conformance.ts'
import type { ConformanceReport } from '../../src/xks/conformance/run-conformance.ts'
import type { XksDefect } from '../support/reference-xks-defects.ts'
import {
  ReferenceXksProxy,
  referenceCredential,
  referenceKey,
} from '../support/reference-xks-proxy.ts'
import { capturedStream } from './captured-stream.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const PREFIX = '/stores/one'

describe('hsm-bridge xks-conformance', function () {
  this.timeout(30_000)
  const credential = referenceCredential()
  let directory: string
  let terminal = false
  let proxy: ReferenceXksProxy | undefined

  before(() => {
    directory = temporaryDirectory()
  })
  afterEach(async () => {
    await proxy?.stop()
    proxy = undefined
  })

  it('prints a report by section, and exits 0 for a proxy that conforms', async () => {
    const { exitCode, out, err } = await run([], '--only', 'T-07,E,A-07')
    expect(exitCode).to.equal(0)
    expect(err).to.equal('')
    expect(out).to.match(
      /^XKS proxy at http:\/\/localhost:\d+\/stores\/one\/kms\/xks\/v1, eu-west-1\n/,
    )
    expect(out).to.match(/^transport\n✓ T-07 {3}MUST {3}GET is answered/m)
    expect(out).to.match(/^- A-07 .*\(--second-credentials-file is not given\)$/m)
    expect(out).to.match(/\d+ requests: p50 [\d.]+ ms, p99 [\d.]+ ms/)
    expect(out).to.match(/✓ conforms: \d+ passed, 0 failed, \d+ skipped\n$/)
  })

  it('exits 1 when a MUST fails, and says what was expected', async () => {
    const { exitCode, out } = await run(['CDIV in another order'], '--only', 'E-14')
    expect(exitCode).to.equal(1)
    expect(out).to.match(/✗ E-14 .*\n {4}no AAD: expected \S+, got \S+\n/)
    expect(out).to.match(/✗ does not conform: 0 passed, 1 failed/)
  })

  it('exits 0 for a failure of our own reading, and 1 with --strict', async () => {
    const given = [['members may come twice'], '--only', 'J-01'] as const
    expect((await run(...given)).exitCode).to.equal(0)
    await proxy?.stop()
    expect((await run(...given, '--strict')).exitCode).to.equal(1)
  })

  it('prints JSON with --json, without the secret', async () => {
    const { out } = await run([], '--only', 'G', '--json')
    const report = JSON.parse(out) as ConformanceReport
    expect(report).to.include({ conforms: true, failed: 0, uriPathPrefix: PREFIX })
    expect(report.results[0]).to.deep.equal({
      section: 'GetKeyMetadata',
      id: 'G-01',
      level: 'MUST',
      title: 'the answer has keySpec, keyUsage and keyStatus',
      outcome: 'pass',
      faults: [],
    })
    expect(out).to.not.include(credential.secretAccessKey)
  })

  it('shows on a terminal how far it is, and wipes that away', async () => {
    terminal = true
    const { err } = await run([], '--only', 'H-06,H-07')
    terminal = false
    expect(err).to.include('1/2  H-06  xksProxyFleetSize').and.include('2/2  H-07')
    expect(err.endsWith('\r\u001b[K')).to.equal(true)
  })

  it('names an option that is no number, or has no key beside it', async () => {
    const number = await run([], '--idle-seconds', 'long').catch((it: Error) => it)
    expect(number).to.be.an('error').with.property('message', '--idle-seconds must be a number')
    await proxy?.stop()
    const half = await run([], '--client-cert', 'c.pem').catch((it: Error) => it)
    expect(half)
      .to.be.an('error')
      .with.property('message', '--client-cert and its key are given together')
  })

  for (const [what, content, message] of [
    ['no JSON', `{"RawSecretAccessKey": secret`, /^\S+ is not JSON$/],
    ['JSON of something else', '{}', /XksProxyUriPath/],
    ['another path', JSON.stringify(configFile('/stores/one')), /must end in \/kms\/xks\/v1/],
  ] as const)
    it(`names the credentials file when it holds ${what}`, async () => {
      const error = await run([], '--credentials-file', file('wrong.json', content)).catch(
        (it: unknown) => it,
      )
      expect(error).to.be.an('error')
      expect((error as Error).message)
        .to.match(message)
        .and.match(/wrong\.json/)
    })

  async function run(defects: readonly XksDefect[], ...args: readonly string[]) {
    const keys = new Map([['key', referenceKey()]])
    const store = { uriPathPrefix: PREFIX, credentials: [credential], keys }
    proxy = await new ReferenceXksProxy([store], { defects }).start()
    const [stdout, stderr] = [capturedStream(), capturedStream()]
    Object.assign(stderr.stream, { isTTY: terminal, columns: 80 })
    const world = { env: {}, stdout: stdout.stream, stderr: stderr.stream }
    const cli = new Cli(world)
    addXksConformance(cli, world)
    const common = [
      ...['--endpoint', proxy.url.origin, '--region', 'eu-west-1', '--key-id', 'key'],
      ...['--credentials-file', file('credentials.json', configFile(`${PREFIX}/kms/xks/v1`))],
    ]
    await cli.program.parseAsync(['xks-conformance', ...common, ...args], { from: 'user' })
    return { exitCode: cli.exitCode, out: stdout.text(), err: stderr.text() }
  }

  function file(name: string, content: unknown): string {
    const path = join(directory, name)
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  function configFile(XksProxyUriPath: string) {
    const { accessKeyId: AccessKeyId, secretAccessKey: RawSecretAccessKey } = credential
    return {
      XksProxyUriPath,
      XksProxyAuthenticationCredential: { AccessKeyId, RawSecretAccessKey },
    }
  }
})
