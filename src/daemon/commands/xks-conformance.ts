import { readFileSync } from 'node:fs'
import * as z from 'zod'
import { Sensitive } from '../../bytes/sensitive.ts'
import {
  type ConformanceTarget,
  EXAMPLE_CALLER,
  KMS_TIMEOUT_MS,
} from '../../xks/conformance/conformance-target.ts'
import {
  type ConformanceReport,
  type RowResult,
  runConformance,
} from '../../xks/conformance/run-conformance.ts'
import type { Cli, CliWorld } from '../cli-session.ts'
import { EXIT } from '../exit-code.ts'
import { Page } from '../page.ts'

const API_PATH = /\/kms\/xks\/v1$/

/** What the AWS console takes, and `xks config-file` writes. */
const CREDENTIALS = z.object({
  XksProxyUriPath: z.string().regex(API_PATH, 'must end in /kms/xks/v1'),
  XksProxyAuthenticationCredential: z.object({
    AccessKeyId: z.string().min(1),
    RawSecretAccessKey: z.string().min(1),
  }),
})

interface Given {
  readonly endpoint: string
  readonly region: string
  readonly credentialsFile: string
  readonly secondCredentialsFile?: string
  readonly uriPathPrefix?: string
  readonly keyId: string
  readonly disabledKeyId?: string
  readonly encryptOnlyKeyId?: string
  readonly decryptOnlyKeyId?: string
  readonly keyBytesFile?: string
  readonly otherPrefix?: string
  readonly caFile?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly strangerCert?: string
  readonly strangerKey?: string
  readonly kmsKeyArn: string
  readonly principalArn: string
  readonly idleSeconds: string
  readonly latestMs: string
  readonly only?: string
  readonly strict?: boolean
  readonly json?: boolean
}

/** Checks any XKS proxy, ours or another, from outside: it needs no installation. Exit code 1 when a MUST fails. */
export function addXksConformance(cli: Cli, world: CliWorld): void {
  cli.program
    .command('xks-conformance')
    .description('check an XKS proxy against the XKS Proxy API, row by row')
    .requiredOption('--endpoint <url>', 'https://host[:port] of the proxy')
    .requiredOption('--region <region>', 'from which AWS KMS would call')
    .requiredOption('--credentials-file <file>', 'the JSON that the AWS console takes')
    .requiredOption('--key-id <id>', 'an enabled AES-256 key that encrypts and decrypts')
    .option('--uri-path-prefix <path>', 'in place of the one in the credentials file')
    .option('--second-credentials-file <file>', 'a credential that is valid at the same time')
    .option('--disabled-key-id <id>', 'a disabled key')
    .option('--encrypt-only-key-id <id>', 'a key that does not decrypt')
    .option('--decrypt-only-key-id <id>', 'a key that does not encrypt')
    .option('--key-bytes-file <file>', 'the key itself in hex, where it was made for tests')
    .option('--other-prefix <path>', 'prefix of another key store of the proxy')
    .option('--ca-file <file>', 'CA of the proxy’s certificate, PEM')
    .option('--client-cert <file>', 'client certificate, PEM')
    .option('--client-key <file>', 'its key, PEM')
    .option('--stranger-cert <file>', 'client certificate that must be refused, PEM')
    .option('--stranger-key <file>', 'its key, PEM')
    .option('--kms-key-arn <arn>', 'KMS key that requests tell of', EXAMPLE_CALLER.kmsKeyArn)
    .option('--principal-arn <arn>', 'caller that requests tell of', EXAMPLE_CALLER.awsPrincipalArn)
    .option('--idle-seconds <seconds>', 'how long a connection is left alone', '6')
    .option('--latest-ms <ms>', 'in which an answer must be there', String(KMS_TIMEOUT_MS))
    .option('--only <ids>', 'rows, or sections by their letter, separated by commas')
    .option('--strict', 'every failure counts, also of rows that are only our reading')
    .option('--json', 'print JSON')
    .action(async (given: Given) => {
      const report = await runConformance(readTarget(given), {
        ...(given.only !== undefined && { only: given.only.split(',').map((it) => it.trim()) }),
        strict: given.strict === true,
        onProgress: progressOn(world.stderr),
      })
      if (world.stderr.isTTY) world.stderr.write(CLEAR_LINE)
      if (given.json) world.stdout.write(`${JSON.stringify(report)}\n`)
      else printReport(report, new Page(world.stdout))
      if (!report.conforms) cli.exitCode = EXIT.failure
    })
}

/** Throws Error naming the file or option that cannot be used. */
function readTarget(given: Given): ConformanceTarget {
  const { uriPathPrefix, credential } = readCredentials(given.credentialsFile)
  const second = given.secondCredentialsFile
  return {
    url: readEndpoint(given.endpoint),
    uriPathPrefix: given.uriPathPrefix ?? uriPathPrefix,
    region: given.region,
    credential,
    secondCredential: second === undefined ? undefined : readCredentials(second).credential,
    keyId: given.keyId,
    disabledKeyId: given.disabledKeyId,
    encryptOnlyKeyId: given.encryptOnlyKeyId,
    decryptOnlyKeyId: given.decryptOnlyKeyId,
    keyBytes: given.keyBytesFile === undefined ? undefined : readKeyBytes(given.keyBytesFile),
    otherPrefix: given.otherPrefix,
    tls: {
      ...(given.caFile !== undefined && { ca: readFileSync(given.caFile) }),
      ...readClient(given.clientCert, given.clientKey, '--client-cert'),
    },
    strangerTls: readClient(given.strangerCert, given.strangerKey, '--stranger-cert'),
    kmsKeyArn: given.kmsKeyArn,
    awsPrincipalArn: given.principalArn,
    latestMs: readNumber(given.latestMs, '--latest-ms'),
    idleMs: readNumber(given.idleSeconds, '--idle-seconds') * 1_000,
  }
}

function readEndpoint(text: string): URL {
  const url = URL.parse(text)
  const isOrigin =
    url !== null && ['https:', 'http:'].includes(url.protocol) && url.pathname === '/'
  if (!isOrigin) throw new Error('--endpoint must be https://host[:port], without a path')
  return url
}

function readCredentials(file: string) {
  const parsed = CREDENTIALS.safeParse(readJson(file))
  if (!parsed.success)
    throw new Error(`${file}: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`)
  const { XksProxyUriPath, XksProxyAuthenticationCredential } = parsed.data
  const { AccessKeyId, RawSecretAccessKey } = XksProxyAuthenticationCredential
  return {
    uriPathPrefix: XksProxyUriPath.replace(API_PATH, ''),
    credential: {
      accessKeyId: AccessKeyId,
      secretAccessKey: new Sensitive(RawSecretAccessKey),
    },
  }
}

/** The parser's own message may repeat a piece of the secret. */
function readJson(file: string): unknown {
  const text = readFileSync(file, 'utf8')
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${file} is not JSON`)
  }
}

function readClient(cert: string | undefined, key: string | undefined, option: string) {
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined)
    throw new Error(`${option} and its key are given together`)
  return { cert: readFileSync(cert), key: readFileSync(key) }
}

function readNumber(text: string, option: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0)) throw new Error(`${option} must be a number`)
  return value
}

function readKeyBytes(file: string): Buffer {
  const text = readFileSync(file, 'latin1').trim()
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new Error(`${file} does not hold 64 hex digits`)
  return Buffer.from(text, 'hex')
}

const CLEAR_LINE = '\r\u001b[K'

function progressOn(stderr: NodeJS.WriteStream) {
  return (done: number, of: number, { id, title }: { id: string; title: string }): void => {
    if (!stderr.isTTY) return
    const line = `${done + 1}/${of}  ${id}  ${title}`
    stderr.write(`${CLEAR_LINE}${line.slice(0, Math.max(20, stderr.columns - 1))}`)
  }
}

function printReport(report: ConformanceReport, page: Page): void {
  page.line(`XKS proxy at ${report.endpoint}${report.uriPathPrefix}/kms/xks/v1, ${report.region}`)
  for (const [section, results] of Map.groupBy(report.results, (it) => it.section)) {
    page.line()
    page.heading(section)
    for (const result of results) printRow(result, page)
  }
  const { requests, p50Ms, p99Ms, maxMs } = report.latency
  page.line()
  page.line(`${requests} requests: p50 ${p50Ms} ms, p99 ${p99Ms} ms, slowest ${maxMs} ms`)
  const verdict = report.conforms ? 'conforms' : 'does not conform'
  page.check(
    report.conforms,
    `${verdict}: ${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped`,
  )
}

function printRow({ id, level, title, outcome, faults, reason }: RowResult, page: Page): void {
  const text = `${id.padEnd(6)} ${level.padEnd(6)} ${title}`
  if (outcome === 'skip') page.line(`- ${text} (${reason})`)
  else page.check(outcome === 'pass', text)
  for (const { case: which, expected, received } of faults)
    page.line(`    ${which === undefined ? '' : `${which}: `}expected ${expected}, got ${received}`)
}
