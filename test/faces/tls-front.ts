import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TestAuthority } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'

/** A program that takes TLS off and hands requests on. */
export interface TlsFrontProgram {
  readonly name: string
  readonly program: string
  /** Rows that it spoils, and why. */
  readonly spoils: readonly string[]
  /** Its configuration for a port of its own, with files in a directory, before what listens at `behind`. */
  configure(parts: FrontParts): { readonly text: string; readonly args: readonly string[] }
}

interface FrontParts {
  readonly directory: string
  readonly port: number
  /** `host:port` */
  readonly behind: string
  /** Certificate and key in one file. */
  readonly pem: string
}

const SUITES = 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384'
const SUITES_1_3 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'

/** XKS X-14: what a front refuses by itself must be JSON too, so its error pages are replaced. */
const OWN_REFUSALS = [400, 405, 413]
const REFUSAL = JSON.stringify({ errorName: 'ValidationException' })

/** Both keep Host and path as they came: the signature is over them. */
export const TLS_FRONTS: readonly TlsFrontProgram[] = [
  {
    name: 'haproxy',
    program: '/usr/sbin/haproxy',
    // What its parser refuses gets a page of HTML, with http-error and with errorfile too. Measured with 2.6.12: two Host
    // headers that differ, bytes above 0x7f in the path. AWS KMS sends neither.
    spoils: ['T-01', 'X-13'],
    configure: ({ directory, port, behind, pem }) => ({
      args: ['-db', '-f', join(directory, 'front.conf')],
      text: `
        global
          maxconn 200
          ssl-default-bind-options ssl-min-ver TLSv1.2
          ssl-default-bind-ciphers ${SUITES}
          ssl-default-bind-ciphersuites ${SUITES_1_3}
        defaults
          mode http
          timeout connect 2s
          timeout client 60s
          timeout server 60s
          timeout http-request 10s
          timeout http-keep-alive 370s
          ${OWN_REFUSALS.map((status) => `http-error status ${status} content-type application/json string '${REFUSAL}'`).join('\n          ')}
        frontend tls
          bind 127.0.0.1:${port} ssl crt ${pem} alpn http/1.1
          default_backend xks
        backend xks
          http-reuse always
          server one ${behind}
      `,
    }),
  },
  {
    name: 'nginx',
    program: '/usr/sbin/nginx',
    spoils: [],
    configure: ({ directory, port, behind, pem }) => ({
      args: ['-p', directory, '-c', join(directory, 'front.conf'), '-e', 'stderr'],
      text: `
        daemon off;
        master_process off;
        pid nginx.pid;
        events {}
        http {
          access_log off;
          client_body_temp_path body;
          proxy_temp_path proxy;
          fastcgi_temp_path fastcgi;
          scgi_temp_path scgi;
          uwsgi_temp_path uwsgi;
          client_max_body_size 300k;
          keepalive_timeout 370s;
          keepalive_requests 100000;
          upstream xks { server ${behind}; keepalive 16; }
          server {
            listen 127.0.0.1:${port} ssl;
            ssl_certificate ${pem};
            ssl_certificate_key ${pem};
            ssl_protocols TLSv1.2 TLSv1.3;
            ssl_ciphers ${SUITES};
            ssl_conf_command Ciphersuites ${SUITES_1_3};
            merge_slashes off;
            ${OWN_REFUSALS.map((status) => `error_page ${status} @refused${status};`).join('\n            ')}
            ${OWN_REFUSALS.map((status) => `location @refused${status} { default_type application/json; return ${status} '${REFUSAL}'; }`).join('\n            ')}
            location / {
              proxy_pass http://xks;
              proxy_http_version 1.1;
              proxy_set_header Host $http_host;
              proxy_set_header Connection "";
              proxy_request_buffering off;
            }
          }
        }
      `,
    }),
  },
]

/** One of these programs at work, until `stop`. */
export class TlsFront {
  readonly url: URL
  /** PEM of the CA that its certificate comes from. */
  readonly ca: string
  readonly #child: ChildProcess
  readonly #directory: string
  #errors = ''

  private constructor(url: URL, ca: string, child: ChildProcess, directory: string) {
    this.url = url
    this.ca = ca
    this.#child = child
    this.#directory = directory
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
  }

  static async start(front: TlsFrontProgram, behind: URL): Promise<TlsFront> {
    const directory = mkdtempSync(join(tmpdir(), `hsm-bridge-${front.name}-`))
    const authority = await TestAuthority.create()
    const { cert, key } = await authority.issue({ purpose: 'server' })
    const pem = join(directory, 'front.pem')
    writeFileSync(pem, `${cert}\n${key}\n`, { mode: 0o600 })
    const port = await freePort()
    const { text, args } = front.configure({ directory, port, behind: behind.host, pem })
    writeFileSync(join(directory, 'front.conf'), `${text.replace(/^ {8}/gm, '').trim()}\n`)
    const child = spawn(front.program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const url = new URL(`https://localhost:${port}`)
    const started = new TlsFront(url, authority.cert, child, directory)
    try {
      await started.#listens(port)
    } catch (error) {
      await started.stop()
      throw error
    }
    return started
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await exited
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #listens(port: number): Promise<void> {
    const until = performance.now() + 5_000
    while (!(await accepts(port))) {
      if (this.#child.exitCode !== null || performance.now() > until)
        throw new Error(`the TLS front does not listen: ${this.#errors}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}
