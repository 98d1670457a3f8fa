import { expect } from 'chai'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, loadConfig } from '../../src/daemon/config.ts'
import { ConfigError } from '../../src/daemon/config-error.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const TOKEN = `token:
  profile: softhsm2
  serial: '0011'
  pinFile: /etc/hsm-bridge/pin
`

describe('config', () => {
  const directory = temporaryDirectory()
  const file = join(directory, 'config.yaml')

  function load(yaml: string, mode = 0o600, env: NodeJS.ProcessEnv = {}): Config {
    writeFileSync(file, yaml)
    chmodSync(file, mode)
    return loadConfig({ file }, env)
  }
  const refusal = (yaml: string, mode?: number): string => {
    try {
      load(yaml, mode)
    } catch (error) {
      expect(error).instanceOf(ConfigError)
      return (error as ConfigError).message
    }
    throw new Error('the configuration was accepted')
  }

  it('runs on defaults and an embedded SoftHSM2 token when there is no file', () => {
    const config = loadConfig({ stateDirectory: '/srv/state' }, {})
    expect(config.file).equal(undefined)
    expect(config.kms.listen).deep.equal({ host: '127.0.0.1', port: 4599 })
    expect(config.ops.listen).deep.equal({ host: '127.0.0.1', port: 4601 })
    expect(config.token.embedded).equal(true)
    expect(config.token.environment).deep.equal({
      SOFTHSM2_CONF: '/srv/state/softhsm/softhsm2.conf',
    })
    expect(config.databasePath).equal('/srv/state/hsm-bridge.sqlite')
    expect(config.audit).deep.equal({ directory: '/srv/state/audit', durability: 'write' })
  })

  it('counts requests against quotas unless that is turned off', () => {
    expect(load('').requestQuotas).deep.include({ burstSeconds: 60, perSecond: {} })
    const set = 'quotas:\n  requests:\n    burstSeconds: 1\n    perSecond: { CreateKey: 50 }\n'
    expect(load(set).requestQuotas).deep.include({ burstSeconds: 1, perSecond: { CreateKey: 50 } })
    expect(load('quotas:\n  requests: { enforce: false }\n').requestQuotas).equal(undefined)
    expect(refusal('quotas:\n  requests: { perSecond: { CreateKeys: 5 } }\n')).contain(
      'quotas.requests.perSecond.CreateKeys',
    )
    expect(refusal('quotas:\n  requests: { perSecond: { CreateKey: 0 } }\n')).contain('CreateKey')
  })

  it('takes the state directory from the option, then the environment, then the file, then systemd', () => {
    const written = 'stateDirectory: /from/file\n'
    const environment = { HSM_BRIDGE_STATE: '/from/env', STATE_DIRECTORY: '/var/lib/hsm-bridge' }
    writeFileSync(file, written, { mode: 0o600 })
    const path = (choice: object, env: NodeJS.ProcessEnv): string =>
      loadConfig(choice, env).state.path
    expect(path({ file, stateDirectory: '/from/option' }, environment)).equal('/from/option')
    expect(path({ file }, environment)).equal('/from/env')
    expect(path({ file }, { STATE_DIRECTORY: '/var/lib/hsm-bridge' })).equal('/from/file')
    expect(path({}, { STATE_DIRECTORY: '/var/lib/hsm-bridge' })).equal('/var/lib/hsm-bridge')
  })

  const MISTAKES = [
    ['a wrong type', 'log:\n  level: loud\n', '2:3 log.level: '],
    ['an unknown option', 'kms:\n  lisen: 127.0.0.1:1\n', '2:3 kms.lisen: there is no such option'],
    [
      'a missing option',
      "token:\n  serial: '1'\n  pinFile: /p\n",
      '1:1 token.profile: is required',
    ],
    ['a bad address', 'kms:\n  listen: 4599\n', '2:3 kms.listen: '],
    [
      'a port that does not exist',
      'kms:\n  listen: 127.0.0.1:70000\n',
      '2:3 kms.listen: must be host:port',
    ],
    [
      'digits that YAML reads as a number',
      'account: 123456789012\n',
      '1:1 account: must be 12 digits in quotes',
    ],
    ['broken YAML', 'kms: [\n', '2:1 '],
    ['two options of one name', 'seed: /a\nseed: /b\n', '2:1 '],
    [
      'serial and label together',
      `${TOKEN}  label: x\n`,
      '1:1 token: needs exactly one of serial and label',
    ],
    ['two PIN sources', `${TOKEN}  pinCredential: x\n`, '1:1 token: needs exactly one of pinFile'],
    ['a PIN in the file', `${TOKEN}  pin: '1234'\n`, '5:3 token.pin: there is no such option'],
    [
      'AT-K05: a relative module path',
      `${TOKEN}  modulePath: libsofthsm2.so\n`,
      '5:3 token.modulePath: must be an absolute path',
    ],
  ] as const
  for (const [title, yaml, start] of MISTAKES) {
    it(`names file, line, column and option of ${title}`, () => {
      expect(refusal(yaml)).satisfy(
        (text: string) => text.startsWith(`${file}:${start}`),
        refusal(yaml),
      )
    })
  }

  it('names every mistake, one line each', () => {
    const lines = refusal('log:\n  level: loud\nlanes:\n  hot: 0\n').split('\n')
    expect(lines).lengthOf(2)
    expect(lines[0]).include(':2:3 log.level')
    expect(lines[1]).include(':4:3 lanes.hot')
  })

  it('is not fooled by __proto__ as an option', () => {
    expect(refusal('__proto__:\n  region: us-east-1\n')).include('there is no such option')
  })

  it('ARCH-D18: refuses a KMS face beyond loopback without TLS, and takes it with TLS', () => {
    for (const listen of ['0.0.0.0:4599', '[::]:4599', '192.0.2.1:4599', 'kms.example:4599']) {
      expect(refusal(`kms:\n  listen: '${listen}'\n`)).include('without TLS')
    }
    const tls = "kms:\n  listen: '0.0.0.0:1'\n  tls: {certFile: /c, keyFile: /k}\n"
    expect(load(tls).kms.tls).deep.equal({ certFile: '/c', keyFile: '/k' })
    for (const listen of ['127.9.9.9:1', '[::1]:1', 'localhost:1']) {
      expect(load(`kms:\n  listen: '${listen}'\n`).kms.listen.port).equal(1)
    }
  })

  it('AT-K04: refuses a file that group or others can change', () => {
    for (const mode of [0o620, 0o602, 0o666])
      expect(refusal('region: us-east-1\n', mode)).include('chmod go-w')
    expect(load('region: us-west-2\n', 0o644).region).equal('us-west-2')
  })

  it('AT-K04: refuses a readable file when an option in it may hold a secret', () => {
    for (const option of ['environment: {A: b}', 'libraryParameters: x']) {
      expect(refusal(`${TOKEN}  ${option}\n`, 0o644)).include('may hold a secret')
      expect(load(`${TOKEN}  ${option}\n`, 0o600).token.profile).equal('softhsm2')
    }
  })

  it('takes a PostgreSQL database by its URL, and shows its password to nobody', () => {
    const url = 'postgresql://me:secret-canary@db.example/kms?sslmode=verify-full'
    const config = load(`storage: {url: "${url}"}`)
    expect(config.databaseUrl?.reveal()).equal(url)
    expect(JSON.stringify(config)).not.include('secret-canary')
    for (const wrong of ['mysql://x/y', 'postgresql://[/', 'kms'])
      expect(() => load(`storage: {url: "${wrong}"}`), wrong).throw(ConfigError, 'storage.url')
    expect(() => load(`storage: {path: /a, url: "${url}"}`)).throw(ConfigError, 'not both')
    expect(refusal(`storage: {url: "${url}"}`, 0o644)).match(/^storage.url: may hold a secret/)
    load('storage: {url: "postgresql://me@db.example/kms"}', 0o644)
  })

  describe('xks', () => {
    const TLS = '  tls: {certFile: /c, keyFile: /k}\n'
    const xks = (yaml: string) => load(`xks:\n${TLS}${yaml}`).xks ?? expect.fail('no xks')

    it('is off without its section, and has defaults with it', () => {
      expect(load('').xks).equal(undefined)
      expect(xks('')).deep.equal({
        listen: { host: '127.0.0.1', port: 4600 },
        tls: { certFile: '/c', keyFile: '/k' },
        clientCertificates: undefined,
        keepAliveSeconds: 370,
        replays: 'count',
        proxyFleetSize: 1,
        stores: [],
      })
    })

    it('XKS T-04: speaks plain HTTP only when told so, and then on this machine only', () => {
      expect(refusal('xks: {}\n')).include('1:1 xks.tls: is required')
      const plain = (listen: string) => `xks: {plainHttp: true, listen: '${listen}'}\n`
      for (const listen of ['0.0.0.0:4600', '192.0.2.1:4600', '[::]:4600'])
        expect(refusal(plain(listen))).include('1:7 xks.plainHttp: is for a loopback address')
      expect(load(plain('[::1]:4600')).xks?.tls).equal(undefined)
      expect(load(plain('unix:/run/xks.sock')).xks?.listen).deep.equal({ path: '/run/xks.sock' })
      for (const wrong of ['unix:xks.sock', `unix:/${'x'.repeat(107)}`, 'unix:'])
        expect(refusal(plain(wrong))).include('xks.listen: must be host:port')
      expect(refusal(`xks:\n${TLS}  plainHttp: true\n`)).include('not both')
    })

    it('XKS T-09, XKS T-11: lets in clients by CA and by name, with a preset for AWS KMS', () => {
      const written = '{caFile: /ca, subjectNames: [mine], kmsRegions: [eu-west-1]}'
      expect(xks(`  clientCertificates: ${written}\n`).clientCertificates).deep.equal({
        caFile: '/ca',
        crlFiles: [],
        subjectNames: ['mine', 'cks.kms.eu-west-1.amazonaws.com'],
      })
      const listed = '{caFile: /ca, crlFiles: [/a.crl, /b.pem], subjectNames: [mine]}'
      expect(xks(`  clientCertificates: ${listed}\n`).clientCertificates)
        .property('crlFiles')
        .deep.equal(['/a.crl', '/b.pem'])
      const nameless = `xks:\n${TLS}  clientCertificates: {caFile: /ca}\n`
      expect(refusal(nameless)).include('3:3 xks.clientCertificates: needs subjectNames')
      const plain = 'xks: {plainHttp: true, clientCertificates: {caFile: /c, subjectNames: [a]}}\n'
      expect(refusal(plain)).include('xks.clientCertificates: needs tls')
    })

    it('AT-S24: counts repeated requests, or rejects them when told so', () => {
      expect(xks('  replays: reject\n').replays).equal('reject')
      expect(refusal(`xks:\n${TLS}  replays: never\n`)).include(':3:3 xks.replays: ')
    })

    it('declares stores', () => {
      expect(xks('  stores: [{name: a}, {name: b, uriPathPrefix: /b, enabled: false}]\n').stores)
        .to.have.deep.members([
          { ...aStore('a'), uriPathPrefix: '' },
          { ...aStore('b'), uriPathPrefix: '/b', enabled: false },
        ])
        .and.have.lengthOf(2)
    })

    const REFUSED = [
      ['XKS U-02: a prefix of 118 characters', `{name: a, uriPathPrefix: /${'x'.repeat(117)}}`],
      ['XKS U-02: a prefix with a dot', '{name: a, uriPathPrefix: /a.b}'],
      ['XKS U-02: a prefix with two slashes', '{name: a, uriPathPrefix: //a}'],
      ['XKS U-02: a prefix that ends with a slash', '{name: a, uriPathPrefix: /a/}'],
      ['XKS U-02: a prefix without a slash', '{name: a, uriPathPrefix: a}'],
      ['a name with a slash', '{name: a/b}'],
      ['a region that is none', '{name: a, regions: [Ireland]}'],
      ['a policy file by a relative path', '{name: a, policyFile: policy.json}'],
    ] as const
    for (const [title, store] of REFUSED)
      it(`refuses ${title}, with its line`, () => {
        expect(refusal(`xks:\n${TLS}  stores:\n    - ${store}\n`)).match(/:4:\d+ xks\.stores\.0\./)
      })

    it('XKS U-02: takes a prefix of 117 characters', () => {
      const prefix = `/${'x'.repeat(116)}`
      expect(
        xks(`  stores: [{name: a, uriPathPrefix: ${prefix}}]\n`).stores[0]?.uriPathPrefix,
      ).equal(prefix)
    })

    it('XKS U-10: refuses a name or prefix twice, at the second one', () => {
      const twice = (second: string) =>
        refusal(`xks:\n${TLS}  stores:\n    - {name: a, uriPathPrefix: /a}\n    - ${second}\n`)
      expect(twice('{name: a, uriPathPrefix: /b}')).include(':5:8 xks.stores.1.name: ')
      expect(twice('{name: b, uriPathPrefix: /a}')).include(':5:17 xks.stores.1.uriPathPrefix: ')
    })
  })

  it('refuses a state directory too long for a unix socket', () => {
    expect(() => loadConfig({ stateDirectory: `/${'x'.repeat(100)}` }, {})).throw(
      ConfigError,
      'too long',
    )
  })

  it('accepts config.example.yaml as it is', () => {
    const text = readFileSync(join(import.meta.dirname, '../../config.example.yaml'), 'utf8')
    expect(load(text).token.find).deep.equal({ serial: '53fbb5a9c1a3f26f' })
  })

  it('accepts its section xks, too, once it is no comment any more', () => {
    const text = readFileSync(join(import.meta.dirname, '../../config.example.yaml'), 'utf8')
    const section = /^# xks:\n(?:#.*\n)+/m.exec(text)?.[0] ?? expect.fail('no section xks')
    const { xks } = load(section.replaceAll(/^# ?/gm, ''))
    expect(xks).deep.include({ proxyFleetSize: 1, keepAliveSeconds: 370, replays: 'count' })
    expect(xks?.clientCertificates?.subjectNames).deep.equal(['cks.kms.eu-west-1.amazonaws.com'])
    expect(xks?.stores.map(({ name }) => name)).deep.equal(['payments'])
  })
})

function aStore(name: string) {
  const rest = { regions: [], requestsPerSecond: undefined, policyFile: undefined, enabled: true }
  return { name, uriPathPrefix: '', ...rest }
}
