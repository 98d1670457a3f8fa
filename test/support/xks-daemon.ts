import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { askDaemon } from '../../src/daemon/admin-client.ts'
import { commandPath } from '../../src/daemon/command.ts'
import { TestAuthority } from './certificates.ts'
import { type DaemonOptions, DaemonUnderTest, eventually } from './daemon-under-test.ts'
import { signedXksWire, type XksAnswer, type XksCall, type XksEndpoint } from './xks-request.ts'

export const STORE = 'store'
export const PREFIX = '/prefix'
/** Another store, where a test asks for it. */
export const OTHER_STORE = 'other'
export const OTHER_PREFIX = '/stores/other'

const CRL_FILE = 'client.crl'

export interface XksDaemonOptions extends DaemonOptions {
  /** Members on top of our section `xks`. */
  readonly xks?: Readonly<Record<string, unknown>>
  /** Of the server's own key; EC unless said otherwise. */
  readonly keyType?: 'EC' | 'RSA'
  /** Plain HTTP, as behind a TLS front. */
  readonly plainHttp?: boolean
  /** Mutual TLS for clients of `authority`: `subjectNames` or `kmsRegions`. */
  readonly clientCertificates?: Readonly<Record<string, readonly string[]>>
  /** Whether client certificates can be taken back by the CRL in `crlFile`. */
  readonly withCrl?: boolean
  /** Whether there is a second store, at `OTHER_PREFIX`. */
  readonly otherStore?: boolean
}

/** One line of the audit spool about an external key store. */
export interface XksRecord {
  readonly eventName: string
  readonly errorCode?: string
  readonly requestParameters: {
    readonly storeName: string
    readonly externalKeyId?: string
    readonly requestMetadata?: Readonly<Record<string, string>>
  }
  readonly additionalEventData: Readonly<Record<string, unknown>>
}

/** A real daemon with an XKS face, over TLS unless said otherwise, one store at `/prefix`, and a credential for it. */
export class XksDaemonUnderTest {
  readonly daemon: DaemonUnderTest
  readonly authority: TestAuthority
  readonly certFile: string
  readonly keyFile: string
  /** What `endpoint()` shows to a daemon that asks for client certificates. */
  client: XksEndpoint['client']
  readonly #keyType: 'EC' | 'RSA'
  #credential: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  #files = 0

  private constructor(
    daemon: DaemonUnderTest,
    authority: TestAuthority,
    { certFile, keyFile }: TlsFiles,
    keyType: 'EC' | 'RSA',
  ) {
    this.daemon = daemon
    this.authority = authority
    this.certFile = certFile
    this.keyFile = keyFile
    this.#keyType = keyType
  }

  /** Made, not serving: keys can be made by the CLI already. */
  static async prepare(options: XksDaemonOptions = {}): Promise<XksDaemonUnderTest> {
    const authority = await TestAuthority.create()
    const { xks, keyType = 'EC', plainHttp = false, clientCertificates, ...daemonOptions } = options
    const crl = await authority.revoke()
    const daemon = await DaemonUnderTest.prepare({
      ...daemonOptions,
      config: (directory) => {
        const files = { certFile: join(directory, 'xks.pem'), keyFile: join(directory, 'xks.key') }
        const caFile = join(directory, 'client-ca.pem')
        writeFileSync(caFile, authority.cert)
        const crlFile = join(directory, CRL_FILE)
        writeFileSync(crlFile, crl)
        const crls = options.withCrl === true && { crlFiles: [crlFile] }
        const regions = [options.region ?? 'eu-west-1']
        return {
          ...(typeof options.config === 'function' ? options.config(directory) : options.config),
          xks: {
            listen: '127.0.0.1:0',
            ...(plainHttp ? { plainHttp } : { tls: files }),
            ...(clientCertificates && {
              clientCertificates: { caFile, ...crls, ...clientCertificates },
            }),
            stores: [
              { name: STORE, uriPathPrefix: PREFIX, regions },
              ...(options.otherStore
                ? [{ name: OTHER_STORE, uriPathPrefix: OTHER_PREFIX, regions }]
                : []),
            ],
            ...xks,
          },
        }
      },
    })
    const files = {
      certFile: join(daemon.directory, 'xks.pem'),
      keyFile: join(daemon.directory, 'xks.key'),
    }
    const made = new XksDaemonUnderTest(daemon, authority, files, keyType)
    await made.issueCertificate()
    return made
  }

  /** Serving, with its first credential. */
  static async start(options: XksDaemonOptions = {}): Promise<XksDaemonUnderTest> {
    const made = await XksDaemonUnderTest.prepare(options)
    try {
      await made.daemon.serve()
      await made.#changesAreOpen()
      await made.addCredential()
      return made
    } catch (error) {
      await made.stop()
      throw error
    }
  }

  /** A daemon that is ready has yet to compare its database with the token before it changes anything. */
  async #changesAreOpen(): Promise<void> {
    const changes = async () => {
      await this.administer('xks credential remove', { accessKeyId: 'none' })
    }
    await eventually(
      async () => !(await messageOf(changes())).includes('compared'),
      () => this.daemon.log(),
    )
  }

  /** Writes another certificate and key where the configuration looks for them. */
  async issueCertificate(keyType = this.#keyType): Promise<void> {
    const { cert, key } = await this.authority.issue({
      names: ['localhost'],
      dnsNames: ['localhost'],
      keyType,
    })
    writeFileSync(this.certFile, cert)
    writeFileSync(this.keyFile, key, { mode: 0o600 })
  }

  /** Makes a credential, as the console would get it, and uses it from now on. */
  async addCredential(store = STORE): Promise<XksEndpoint> {
    const file = await this.writeConfigFile(store)
    const { XksProxyAuthenticationCredential: it } = JSON.parse(readFileSync(file, 'utf8')) as {
      XksProxyAuthenticationCredential: { AccessKeyId: string; RawSecretAccessKey: string }
    }
    this.#credential = { accessKeyId: it.AccessKeyId, secretAccessKey: it.RawSecretAccessKey }
    return this.endpoint()
  }

  /** Makes a credential that only the file has whose path it answers. */
  async writeConfigFile(store = STORE): Promise<string> {
    this.#files += 1
    const file = join(this.daemon.directory, `credential-${this.#files}.json`)
    await this.administer('xks config-file', { store, out: file })
    return file
  }

  /** Makes an external key in the token. */
  async createKey(externalKeyId: string, keyUsage = ['ENCRYPT', 'DECRYPT']): Promise<string> {
    await this.administer('xks key create', { name: `${STORE}/${externalKeyId}`, keyUsage })
    return externalKeyId
  }

  /** Where the configuration looks for what the client CA has taken back. */
  get crlFile(): string {
    return join(this.daemon.directory, CRL_FILE)
  }

  endpoint(): XksEndpoint {
    if (!this.#credential) throw new Error('addCredential comes first')
    const { protocol, hostname, port } = new URL(this.daemon.xks)
    return {
      host: hostname,
      port: Number(port),
      region: this.daemon.region,
      ...this.#credential,
      uriPathPrefix: PREFIX,
      ca: protocol === 'https:' ? this.authority.cert : undefined,
      ...(this.client && { client: this.client }),
    }
  }

  /** Where AWS KMS would be told that the proxy is: by the name in its certificate. */
  get url(): URL {
    const url = new URL(this.daemon.xks)
    if (url.protocol === 'https:') url.hostname = 'localhost'
    return url
  }

  /** What the audit spool has of the XKS face's requests, oldest first. */
  records(): XksRecord[] {
    return this.#recordsBy('AWSService')
  }

  /** What the audit spool has of administrative changes, oldest first. */
  changes(): XksRecord[] {
    return this.#recordsBy('LocalAdministrator')
  }

  #recordsBy(identityType: string): XksRecord[] {
    const folder = join(this.daemon.state, 'audit')
    return readdirSync(folder)
      .toSorted()
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
      .filter((line) => line.includes('"xks-proxy"') && line.includes(`"type":"${identityType}"`))
      .map((line) => JSON.parse(line) as XksRecord)
  }

  /** Asks the running daemon, without the command line tool in between: `administer('xks key rotate', { name })`. */
  async administer<Answer>(command: string, parameters: object): Promise<Answer> {
    const socketPath = join(this.daemon.state, 'admin.sock')
    return (await askDaemon(socketPath, commandPath({ name: command }), parameters)) as Answer
  }

  call(call: XksCall, endpoint = this.endpoint()): Promise<XksAnswer> {
    return callXks(endpoint, call)
  }

  async stop(): Promise<void> {
    await this.daemon.stop()
  }
}

async function messageOf(work: Promise<void>): Promise<string> {
  try {
    await work
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

const AGENT = new Agent({ keepAlive: true, maxCachedSessions: 0 })

/** Sends one signed call, over TLS where the endpoint has a CA. */
export function callXks(endpoint: XksEndpoint, call: XksCall, agent = AGENT): Promise<XksAnswer> {
  const [head = '', body = ''] = signedXksWire(endpoint, call).toString('utf8').split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s, 2)))
  return new Promise((resolve, reject) => {
    const send = endpoint.ca === undefined ? httpRequest : httpsRequest
    const request = send(
      {
        host: endpoint.host,
        port: endpoint.port,
        servername: 'localhost',
        ca: endpoint.ca,
        ...endpoint.client,
        method: 'POST',
        path: first.split(' ')[1],
        headers,
        ...(endpoint.ca !== undefined && { agent }),
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) })
        })
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}
