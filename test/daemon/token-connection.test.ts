import { expect } from 'chai'
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { softHsmModulePath } from '../../softhsm/softhsm-conf.ts'
import { type Config, loadConfig } from '../../src/daemon/config.ts'
import { ConfigError } from '../../src/daemon/config-error.ts'
import { tokenPlace } from '../../src/daemon/token-connection.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('token connection', () => {
  const directory = temporaryDirectory()

  function configOf(token: string): Config {
    const file = join(directory, 'config.yaml')
    const pin = "serial: '1', pinFile: /none"
    writeFileSync(file, `token: {${pin}, ${token}}\n`, { mode: 0o600 })
    return loadConfig({ file, stateDirectory: directory }, {})
  }
  const placeOf = (token: string, env: NodeJS.ProcessEnv = {}) => tokenPlace(configOf(token), env)

  it('reads a profile of ours by its name, and any other by its path', () => {
    expect(placeOf('profile: softhsm2').profile.name).equal('softhsm2')
    const path = join(import.meta.dirname, '../../native-config/softhsm2-without-gcm.json')
    expect(placeOf(`profile: ${path}`).profile.aeadScheme).equal('AES_CBC_HMAC')
    for (const name of ['no-such', '../native-config/softhsm2', 'constructor'])
      expect(() => placeOf(`profile: ${name}`), name).throw(ConfigError, 'token.profile')
  })

  it('names what is wrong with a profile', () => {
    const path = join(directory, 'profile.json')
    writeFileSync(path, '{"name": "x"}')
    expect(() => placeOf(`profile: ${path}`)).throw(ConfigError, `${path}: `)
  })

  it('AT-K05: refuses a module that everybody can change, in itself or by its directory or behind a link', () => {
    const open = join(directory, 'open')
    mkdirSync(open)
    const module = join(open, 'module.so')
    copyFileSync(softHsmModulePath(), module)
    const place = () => placeOf(`profile: softhsm2, modulePath: ${module}`)
    chmodSync(module, 0o755)
    expect(place().modulePath).equal(module)
    chmodSync(module, 0o777)
    expect(place).throw(ConfigError, 'can be changed by everybody')
    chmodSync(module, 0o755)
    chmodSync(open, 0o777)
    expect(place).throw(ConfigError, 'can be changed by everybody')
    const link = join(directory, 'link.so')
    symlinkSync(module, link)
    expect(() => placeOf(`profile: softhsm2, modulePath: ${link}`)).throw(
      ConfigError,
      'by everybody',
    )
  })

  it('AT-K05, AT-K03: gives lanes nothing of its own environment that changes what is loaded', () => {
    const env = { PATH: '/bin', LD_PRELOAD: '/evil.so', NODE_OPTIONS: '--inspect', SECRET: 'x' }
    const { environment } = placeOf('profile: softhsm2, environment: {SOFTHSM2_CONF: /c}', env)
    expect(environment).deep.equal({ PATH: '/bin', SOFTHSM2_CONF: '/c' })
  })

  it('uses as many hot lanes as configured', () => {
    const file = join(directory, 'lanes.yaml')
    writeFileSync(file, 'lanes: {hot: 5}\n', { mode: 0o600 })
    const config = loadConfig({ file, stateDirectory: directory }, {})
    expect(tokenPlace(config, {}).profile.hotLanes).equal(5)
  })
})
