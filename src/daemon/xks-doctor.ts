import { randomUUID, type X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { isIP } from 'node:net'
import { connect, type ConnectionOptions } from 'node:tls'
import { certificatesIn, nameIn, presentedChain } from '../http/certificate-path.ts'
import { parseRevocationLists, type RevocationList } from '../http/revocation-list.ts'
import { signRequest } from '../sigv4/sign-request.ts'
import type { XksCredential } from '../xks/external-key-store.ts'
import { assertTrusted, knownRoots, readTrustedCas } from './aws-trusted-cas.ts'
import { type Check, check, clockAgrees } from './doctor.ts'
import type { Installation } from './installation.ts'
import { codeOf, readPrivateFile } from './private-file.ts'
import { storeUnknown } from './xks-credential.ts'
import { StoredXksDirectory } from './xks-directory.ts'

/** What AWS KMS is, or will be, told of a store, and what this machine needs to play its part. */
export interface XksDoctorWish {
  readonly store: string
  /** XksProxyUriEndpoint. */
  readonly url: string
  /** CA of the server's certificate, where it is none of the system's: AWS KMS will not take such a one. */
  readonly caFile?: string | undefined
  /** A newer list of the CAs that AWS trusts than the one that comes with us. */
  readonly trustedCasFile?: string | undefined
  /** For mutual TLS. */
  readonly clientCertFile?: string | undefined
  readonly clientKeyFile?: string | undefined
}

const KMS_PORT = 443
/** AWS KMS gives a call so long, the network included. */
const KMS_PATIENCE_MS = 250
const PATIENCE_MS = 5_000
const LEAST_DAYS = 10
const HOUR_MS = 60 * 60 * 1000
const DAY_MS = 24 * HOUR_MS

/** Suites of which AWS KMS needs one (XKS T-03). */
const SUITES = [
  ['TLS_AES_256_GCM_SHA384', 'TLSv1.3'],
  ['TLS_CHACHA20_POLY1305_SHA256', 'TLSv1.3'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLSv1.2'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLSv1.2'],
] as const

/** Looks at the proxy from the outside, as AWS KMS will: name, certificate, suites, and a signed call. */
export async function checkXks(
  installation: Installation,
  wish: XksDoctorWish,
): Promise<readonly Check[]> {
  const url = new URL(wish.url)
  const tls = clientOptions(wish, url)
  const { storage } = installation
  return [
    await check('name', 'AWS KMS wants https:// and a public DNS name', () => assertName(url)),
    await check('port', 'let a load balancer or a firewall rule lead port 443 here', () =>
      assertPort(url),
    ),
    await check('certificate chain', 'send the whole chain of a CA that AWS trusts', async () => {
      const { authorizationError } = await greet(tls)
      if (authorizationError !== undefined) throw new Error(authorizationError)
      return wish.caFile === undefined
        ? 'trusted here'
        : 'trusted by the CA given; AWS has its own list'
    }),
    await check(
      'certificate authority',
      'get a certificate of a CA in the list: AWS KMS answers XksProxyUriUnreachableException to any other. A root that is not known here is named by --ca-file, a newer list by --trusted-cas-file',
      async () => findAuthority((await greet(tls)).certificate, wish),
    ),
    await check('certificate names', 'AWS KMS compares CN and SAN', async () =>
      assertNames((await greet(tls)).certificate, url.hostname),
    ),
    await check('certificate expiry', 'renew it, then: hsm-bridge reload', async () =>
      assertFresh((await greet(tls)).certificate, Date.now()),
    ),
    ...(await checkRevocationLists(installation)),
    await check('cipher suites', 'offer one of those that AWS KMS knows', () => findSuites(tls)),
    await check('clock', 'set it; signatures of AWS KMS are refused after five minutes', () =>
      compareWithHeartbeat(storage.snapshot.heartbeat),
    ),
    await check('health', 'look at the log of the daemon', () =>
      askHealth(installation, wish, tls),
    ),
  ]
}

/** XKS U-04 */
export function assertName({ protocol, hostname }: URL): string {
  if (protocol !== 'https:') throw new Error(`${protocol} is not https:`)
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) throw new Error(`${hostname} is an address`)
  if (!hostname.replace(/\.$/, '').includes('.'))
    throw new Error(`${hostname} is not a fully qualified domain name`)
  return hostname
}

/** How the resolver says that a name has no address of the family asked for. */
const NO_SUCH_ADDRESS: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EAI_ADDRFAMILY'])

type FindAddresses = (hostname: string) => Promise<readonly string[]>

/** XKS T-12: `find` answers IPv4 addresses, as A records give them. */
export async function assertPort(
  { port, hostname }: URL,
  find: FindAddresses = findIPv4,
): Promise<string> {
  const problems: string[] = []
  if (port !== '' && Number(port) !== KMS_PORT)
    problems.push(`AWS KMS connects to port ${KMS_PORT} only; this is port ${port}`)
  const addresses = await find(hostname.replace(/^\[|\]$/g, '')).catch((error: unknown) => {
    if (NO_SUCH_ADDRESS.has(codeOf(error))) return []
    problems.push(`${hostname} could not be looked up (${codeOf(error)})`)
    return undefined
  })
  if (addresses?.length === 0)
    problems.push(`${hostname} has no A record, and AWS KMS comes over IPv4`)
  if (problems.length > 0) throw new Error(problems.join('; '))
  return `${KMS_PORT}, at ${addresses?.join(', ')}`
}

async function findIPv4(hostname: string): Promise<readonly string[]> {
  const found = await lookup(hostname, { family: 4, all: true })
  return found.filter(({ family }) => family === 4).map(({ address }) => address)
}

/**
 * The Date of an answer through the URL is this proxy's own, and nobody outside is asked. So this sees a clock that fell behind
 * what was counted, and not one that was wrong from the start.
 */
function compareWithHeartbeat(heartbeat: number): string {
  const verdict = clockAgrees(Date.now(), heartbeat)
  return `only the heartbeat in the database was compared, no clock outside: ${verdict}`
}

/** AT-H13: once a CRL is out of date nobody is let in. */
async function checkRevocationLists({ config, reread }: Installation): Promise<Check[]> {
  const files = (reread ?? config).xks?.clientCertificates?.crlFiles ?? []
  if (files.length === 0) return []
  const nextStep = 'fetch the CRLs anew, then: hsm-bridge reload'
  return [await check('client CRLs', nextStep, () => assertListsCurrent(files, Date.now()))]
}

function assertTellsOfNow(file: string, list: RevocationList, now: number): void {
  const trouble = list.findTrouble(now)
  if (trouble !== undefined) throw new Error(`${file} ${trouble}: clients are refused`)
}

export function assertListsCurrent(files: readonly string[], now: number): string {
  const lists = files.flatMap((file) =>
    parseRevocationLists(readFileSync(file)).map((list) => ({ file, list })),
  )
  for (const { file, list } of lists) assertTellsOfNow(file, list, now)
  const hours = (Math.min(...lists.map(({ list }) => list.nextUpdate)) - now) / HOUR_MS
  return Number.isFinite(hours)
    ? `good for ${Math.floor(hours)} hours`
    : 'no next update is promised'
}

/** XKS T-05: AWS KMS trusts no other CA, whatever is trusted here. */
function findAuthority(certificate: X509Certificate, wish: XksDoctorWish): string {
  const { caFile, trustedCasFile } = wish
  const given = caFile === undefined ? [] : certificatesIn(readFileSync(caFile, 'utf8'))
  const trusted = readTrustedCas(trustedCasFile)
  const known = [...given, ...knownRoots()]
  const { subject } = assertTrusted(presentedChain(certificate), known, trusted, Date.now())
  return `${nameIn(subject)} is one of the ${trusted.size} that AWS KMS trusts`
}

/** XKS T-05, T-06: CN and SAN must both fit. */
export function assertNames(certificate: X509Certificate, hostname: string): string {
  const bySan = certificate.checkHost(hostname, { subject: 'never' })
  if (bySan === undefined) throw new Error(`the SAN does not name ${hostname}`)
  const names = certificate.subject.split('\n').filter((line) => line.startsWith('CN='))
  const commonName = names[0]?.slice('CN='.length).toLowerCase() ?? ''
  const wildcard = hostname.toLowerCase().replace(/^[^.]+/, '*')
  if (names.length !== 1 || ![hostname.toLowerCase(), wildcard].includes(commonName))
    throw new Error(`the subject CN '${commonName}' is not ${hostname}`)
  return `CN ${commonName}, SAN ${bySan}`
}

export function assertFresh({ validFrom, validTo }: X509Certificate, now: number): string {
  const days = Math.floor((Date.parse(validTo) - now) / DAY_MS)
  if (Date.parse(validFrom) > now) throw new Error(`it is valid from ${validFrom} on`)
  if (days < LEAST_DAYS) throw new Error(`it expires ${validTo}, in ${days} days`)
  return `good for ${days} days`
}

interface Greeting {
  readonly certificate: X509Certificate
  readonly authorizationError: string | undefined
}

/** A handshake that trusts nobody and tells what it saw. */
function greet(options: ConnectionOptions): Promise<Greeting> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...options, rejectUnauthorized: false, timeout: PATIENCE_MS })
    socket.once('error', reject)
    socket.once('timeout', () => socket.destroy(new Error('no answer')))
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate()
      const problem: unknown = socket.authorizationError // by its types an Error, in truth mostly a code
      socket.destroy()
      if (!certificate) reject(new Error('the server shows no certificate'))
      else resolve({ certificate, authorizationError: wordsOf(problem) })
    })
  })
}

function wordsOf(problem: unknown): string | undefined {
  if (problem instanceof Error) return problem.message
  return typeof problem === 'string' ? problem : undefined
}

async function findSuites(options: ConnectionOptions): Promise<string> {
  const offered: string[] = []
  for (const [ciphers, version] of SUITES) {
    const only = { ciphers, minVersion: version, maxVersion: version }
    const suits = await greet({ ...options, ...only }).then(
      () => true,
      () => false,
    )
    if (suits) offered.push(ciphers)
  }
  if (offered.length === 0) throw new Error('none of the four')
  return offered.join(', ')
}

function clientOptions(wish: XksDoctorWish, url: URL): ConnectionOptions {
  const { caFile, clientCertFile, clientKeyFile } = wish
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || KMS_PORT),
    ...(isIP(url.hostname) === 0 && { servername: url.hostname }),
    ALPNProtocols: ['http/1.1'],
    ...(caFile !== undefined && { ca: readFileSync(caFile) }),
    ...(clientCertFile !== undefined && { cert: readFileSync(clientCertFile) }),
    ...(clientKeyFile !== undefined && { key: readPrivateFile(clientKeyFile, 'client-key-file') }),
  }
}

/** XKS H-11, H-12: signed as AWS KMS signs, on a new connection and again on the same one. */
async function askHealth(
  { storage, seal, logger }: Installation,
  wish: XksDoctorWish,
  tls: ConnectionOptions,
): Promise<string> {
  const store = storage.snapshot.findXksStore(wish.store)
  if (!store) throw storeUnknown(wish.store)
  const first = [...storage.snapshot.allXksCredentials()].find(
    ({ storeName }) => storeName === store.name,
  )
  const credential =
    first && new StoredXksDirectory(storage, seal, logger).findCredential(first.accessKeyId)
  if (!credential) throw new Error(`the store ${store.name} has no credential to sign with`)
  const region = store.regions[0] ?? 'us-east-1'
  const url = new URL(`${store.uriPathPrefix}/kms/xks/v1/health`, wish.url)
  const agent = new Agent({ ...tls, keepAlive: true, maxSockets: 1 })
  try {
    const cold = await ask(url, agent, credential, region)
    const warm = await ask(url, agent, credential, region)
    const times = `${cold.ms} ms on a new connection, ${warm.ms} ms on a warm one`
    if (warm.ms > KMS_PATIENCE_MS || cold.ms > KMS_PATIENCE_MS)
      throw new Error(`${times}; AWS KMS waits ${KMS_PATIENCE_MS} ms`)
    return `${healthIn(warm.body)}; ${times}`
  } finally {
    agent.destroy()
  }
}

async function ask(url: URL, agent: Agent, credential: XksCredential, region: string) {
  // AT-S24: another id each time, or the second signature would be the first one over again.
  const requestMetadata = { kmsRequestId: randomUUID(), kmsOperation: 'KmsHealthCheck' }
  const body = Buffer.from(JSON.stringify({ requestMetadata }))
  const unsigned = { 'content-type': 'application/json' }
  const headers = await signRequest(
    { method: 'POST', url, headers: unsigned, body },
    { ...credential, region, service: 'kms-xks-proxy' },
    Date.now(),
  )
  const began = performance.now()
  const answer = await post(url, agent, headers, body)
  const ms = Math.round(performance.now() - began)
  if (answer.status !== 200)
    throw new Error(`it answers ${answer.status}: ${answer.body.slice(0, 512)}`)
  return { ms, body: answer.body }
}

function post(url: URL, agent: Agent, headers: Record<string, string>, body: Buffer) {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const call = request(
      url,
      { method: 'POST', agent, headers, timeout: PATIENCE_MS },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.once('error', reject)
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        )
      },
    )
    call.once('error', reject)
    call.once('timeout', () => call.destroy(new Error('no answer')))
    call.end(body)
  })
}

function healthIn(body: string): string {
  const { ekmFleetDetails = [] } = JSON.parse(body) as {
    ekmFleetDetails?: readonly { readonly healthStatus: string }[]
  }
  const states = ekmFleetDetails.map(({ healthStatus }) => healthStatus)
  if (states.every((state) => state === 'UNAVAILABLE'))
    throw new Error('every token is UNAVAILABLE: AWS KMS will not connect the store')
  return states.join(', ')
}
