import { expect } from 'chai'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { ConfigError } from '../../src/daemon/config-error.ts'
import type { XksConfig } from '../../src/daemon/xks-config.ts'
import { openXksTls, prepareXksTls, readXksTls } from '../../src/daemon/xks-tls-files.ts'
import { TestAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('the files of the XKS face', () => {
  const directory = temporaryDirectory()
  const tls = { certFile: join(directory, 'crt'), keyFile: join(directory, 'key') }
  const crlFile = join(directory, 'crl')
  const clients = { caFile: join(directory, 'ca'), crlFiles: [crlFile], subjectNames: ['client'] }
  const config: XksConfig = {
    listen: { host: '127.0.0.1', port: 0 },
    tls,
    clientCertificates: undefined,
    keepAliveSeconds: 370,
    replays: 'count',
    proxyFleetSize: 1,
    stores: [],
  }
  let authority: TestAuthority

  before(async () => {
    authority = await TestAuthority.create()
  })
  beforeEach(() => issue('first.example.com'))

  async function issue(name: string): Promise<void> {
    const { cert, key } = await authority.issue({ names: [name] })
    writeFileSync(tls.certFile, cert)
    writeFileSync(tls.keyFile, key, { mode: 0o600 })
    writeFileSync(clients.caFile, authority.cert)
    writeFileSync(crlFile, await authority.revoke())
  }

  it('are none for plain HTTP', () => {
    expect(readXksTls({ ...config, tls: undefined })).equal(undefined)
    expect(openXksTls({ ...config, tls: undefined })).equal(undefined)
  })

  const BROKEN: readonly [string, XksConfig, string][] = [
    [tls.certFile, config, 'xks.tls.certFile'],
    [tls.keyFile, config, 'xks.tls.keyFile'],
    [clients.caFile, { ...config, clientCertificates: clients }, 'xks.clientCertificates.caFile'],
    [crlFile, { ...config, clientCertificates: clients }, 'xks.clientCertificates.crlFiles'],
  ]
  for (const [file, which, option] of BROKEN)
    it(`are refused by the option when ${option} is none`, () => {
      writeFileSync(file, 'no PEM')
      expect(() => openXksTls(which)).throw(ConfigError, option)
    })

  it('AT-K04: are refused when others can read the key, or nobody can', () => {
    expect(() => openXksTls({ ...config, tls: { ...tls, keyFile: tls.certFile } })).throw(
      ConfigError,
      'xks.tls.keyFile',
    )
    expect(() => openXksTls({ ...config, tls: { ...tls, certFile: '/none' } })).throw(
      ConfigError,
      'xks.tls.certFile: cannot read /none (ENOENT)',
    )
  })

  it('AT-H13: of which a CRL may be out of date at the start, and at no reload', async () => {
    const asking = { ...config, clientCertificates: clients }
    const face = openXksTls(asking) ?? expect.fail('no TLS')
    prepareXksTls(face, asking, asking)()
    const [thisUpdate, nextUpdate] = [new Date(Date.now() - 9e6), new Date(Date.now() - 8e6)]
    writeFileSync(crlFile, await authority.revoke({ thisUpdate, nextUpdate }))
    expect(() => prepareXksTls(face, asking, asking)).throw(
      ConfigError,
      `xks.clientCertificates.crlFiles: holds a CRL that is out of date; the next one was due ${nextUpdate.toISOString().slice(0, 19)}`,
    )
    expect(openXksTls(asking)).not.equal(undefined)
    rmSync(crlFile)
    expect(() => openXksTls(asking)).throw(ConfigError, `cannot read ${crlFile} (ENOENT)`)
  })

  it('XKS Z-06: are used again only when all of them are good', async () => {
    const face = openXksTls(config) ?? expect.fail('no TLS')
    const server = createServer(face.options)
    face.guard(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    try {
      await issue('second.example.com')
      const use = prepareXksTls(face, config, config)
      expect(await nameAt(port)).equal('first.example.com')
      use()
      expect(await nameAt(port)).equal('second.example.com')
      writeFileSync(tls.certFile, 'no PEM')
      expect(() => prepareXksTls(face, config, config)).throw(ConfigError, 'xks.tls.certFile')
      const asking = { ...config, clientCertificates: clients }
      await issue('third.example.com')
      expect(() => prepareXksTls(face, config, asking)).throw(ConfigError, 'with a restart only')
      prepareXksTls(face, config, { ...config, tls: undefined })()
      expect(await nameAt(port)).equal('second.example.com')
    } finally {
      server.close()
    }
  })
})

/** The CN that a server shows. */
function nameAt(port: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subject.CN)
      socket.destroy()
    })
    socket.once('error', reject)
  })
}
