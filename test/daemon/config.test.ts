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
})
