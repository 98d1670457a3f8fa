import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { describeProgram } from '../faces/xks-endpoint.ts'
import { FakeKms } from '../support/fake-kms.ts'
import { readRecipe } from './recipe.ts'
import { freePort } from '../support/free-port.ts'

const LAUNCHER = join(import.meta.dirname, '..', '..', 'scripts', 'hsm-bridge')
const MARK = '--- end of block ---'

interface CreateCustomKeyStore {
  readonly XksProxyUriEndpoint: string
  readonly XksProxyUriPath: string
  readonly XksProxyAuthenticationCredential: {
    readonly AccessKeyId: string
    readonly RawSecretAccessKey: string
  }
}

/** The page makes an installation of its own; only ports, names and folders are other ones here. */
describeProgram('/usr/sbin/nginx', 'the recipe of an external key store', function () {
  this.timeout(60_000)
  let directory = ''

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-recipe-'))
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  it('every command works, prints what the page says, and AWS KMS takes the store', async () => {
    const { commands, files } = readRecipe('xks-in-production')
    const here = await localised(directory)
    for (const [name, text] of files)
      writeFileSync(join(directory, name), here(text + (ADDED.get(name) ?? '')), { mode: 0o600 })
    const shell = startShell(directory)
    try {
      const script = commands.map(({ text }) => `${here(text)}echo '${MARK}'\n`).join('')
      const printed = await shell.run(script, commands.length)
      for (const [index, block] of commands.entries())
        if (block.printed !== undefined) expect(printed[index]).to.equal(block.printed)
      expect(commands.filter(({ printed: said }) => said !== undefined)).to.have.length(2)
      await assertServes(join(directory, 'create-custom-key-store.json'))
    } finally {
      await shell.stop()
    }
  })

  async function assertServes(file: string): Promise<void> {
    const wish = JSON.parse(readFileSync(file, 'utf8')) as CreateCustomKeyStore
    const { AccessKeyId, RawSecretAccessKey } = wish.XksProxyAuthenticationCredential
    const kms = await FakeKms.createCustomKeyStore({
      uriEndpoint: new URL(wish.XksProxyUriEndpoint),
      uriPath: wish.XksProxyUriPath,
      credential: { accessKeyId: AccessKeyId, secretAccessKey: RawSecretAccessKey },
      region: 'eu-west-1',
      tls: { ca: readFileSync(join(directory, 'xks.crt')) },
    })
    expect(await kms.connect()).to.equal('CONNECTED')
    const { plaintext, ciphertext } = await kms.generateDataKey(await kms.createKey('orders'))
    expect(await kms.decrypt(ciphertext)).to.deep.equal(plaintext)
    kms.close()
  }
})

/** What only a test needs: other faces on ports that nobody else has. */
const ADDED = new Map([
  ['config.yaml', '\nkms:\n  listen: 127.0.0.1:0\nops:\n  listen: 127.0.0.1:4601\n'],
])

async function localised(directory: string): Promise<(text: string) => string> {
  const [behind, ops, front] = [await freePort(), await freePort(), await freePort()]
  const replacements: readonly (readonly [string, string])[] = [
    ['127.0.0.1:4600', `127.0.0.1:${behind}`],
    ['127.0.0.1:4601', `127.0.0.1:${ops}`],
    ['listen 443 ssl', `listen 127.0.0.1:${front} ssl`],
    ['https://xks.example.com', `https://localhost:${front}`],
    ['xks.example.com', 'localhost'],
    ['/var/lib/hsm-bridge', join(directory, 'state')],
    ['http {', `http { ${temporaryPaths()}`],
    ['events {}', `pid ${directory}/nginx.pid; events {}`],
    ['--credentials-file', '--latest-ms 2000 --idle-seconds 1 --credentials-file'],
  ]
  return (text) => replacements.reduce((all, [from, to]) => all.replaceAll(from, to), text)
}

/** nginx's own folders are root's. */
function temporaryPaths(): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi']
  return kinds.map((kind) => `${kind}_temp_path ${kind};`).join(' ')
}

/** A shell whose background programs live until `stop`. */
function startShell(directory: string) {
  const prelude = `set -eu; trap 'kill $(jobs -p); wait' EXIT\n`
  // A program, not a function of the shell: the daemon itself is then the job that is ended.
  const bin = join(directory, 'bin')
  mkdirSync(bin)
  const program = `#!/bin/sh\nexec '${LAUNCHER}' "$@"\n`
  writeFileSync(join(bin, 'hsm-bridge'), program, { mode: 0o755 })
  const env = { HOME: directory, PATH: `${bin}:${dirname(process.execPath)}:/usr/bin:/bin` }
  const child = spawn('/bin/bash', ['--norc'], { cwd: directory, env })
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ended = once(child, 'close')
  return {
    run(script: string, blocks: number): Promise<string[]> {
      return new Promise((resolve, reject) => {
        child.stdout.on('data', (chunk: Buffer) => {
          stdout += chunk.toString()
          const parts = stdout.split(`${MARK}\n`)
          if (parts.length > blocks) resolve(parts)
        })
        child.once('close', () => reject(new Error(`${stdout}${stderr}${logsIn(directory)}`)))
        child.stdin.write(prelude + script)
      })
    },
    async stop(): Promise<void> {
      child.stdin.end()
      await ended
    },
  }
}

function logsIn(directory: string): string {
  const names = readdirSync(directory).filter((name) => name.endsWith('.log'))
  return names.map((name) => `${name}:\n${readFileSync(join(directory, name), 'utf8')}`).join('')
}
