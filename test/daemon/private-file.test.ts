import { expect } from 'chai'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../../src/daemon/config-error.ts'
import { readPin } from '../../src/daemon/pin-source.ts'
import {
  assertPrivateDirectory,
  makePrivateDirectory,
  privacyProblem,
  readPrivateFile,
  writePrivateFile,
} from '../../src/daemon/private-file.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('private files', () => {
  const directory = temporaryDirectory()

  it('are written whole, with mode 0600, and leave no draft behind', () => {
    const sub = join(directory, 'written')
    makePrivateDirectory(sub, 'x')
    writePrivateFile(join(sub, 'a'), 'one')
    writePrivateFile(join(sub, 'a'), 'two')
    expect(readFileSync(join(sub, 'a'), 'utf8')).equal('two')
    expect(statSync(join(sub, 'a')).mode & 0o777).equal(0o600)
    expect(readdirSync(sub)).deep.equal(['a'])
  })

  for (const mode of [0o640, 0o604, 0o660, 0o611]) {
    it(`AT-K04: are refused with mode ${mode.toString(8)}`, () => {
      const file = join(directory, `mode-${mode}`)
      writeFileSync(file, 'secret')
      chmodSync(file, mode)
      expect(() => readPrivateFile(file, 'token.pinFile')).throw(ConfigError, 'chmod 600')
    })
  }

  it('AT-K04: are judged by the file behind a link', () => {
    const file = join(directory, 'behind')
    writeFileSync(file, 'secret')
    chmodSync(file, 0o644)
    symlinkSync(file, join(directory, 'link'))
    expect(() => readPrivateFile(join(directory, 'link'), 'x')).throw(ConfigError, 'chmod 600')
  })

  it('are refused when they are no files, or not there', () => {
    expect(() => readPrivateFile(directory, 'x')).throw(ConfigError, 'not a regular file')
    expect(() => readPrivateFile(join(directory, 'none'), 'x')).throw(ConfigError, 'ENOENT')
  })

  it('AT-K04: lie in a directory that is closed to others, or nothing starts', () => {
    const open = join(directory, 'open')
    mkdirSync(open)
    chmodSync(open, 0o750)
    expect(() => assertPrivateDirectory(open, 'stateDirectory')).throw(ConfigError, 'chmod 700')
    expect(() => makePrivateDirectory(open, 'stateDirectory')).throw(ConfigError, 'chmod 700')
    chmodSync(open, 0o700)
    expect(privacyProblem(open)).equal(undefined)
  })
})

describe('PIN source', () => {
  const directory = temporaryDirectory()
  const file = join(directory, 'pin')
  writeFileSync(file, 'correct horse\n', { mode: 0o600 })

  it('takes the PIN from a file, without the line end', async () => {
    expect((await readPin({ kind: 'file', path: file }, {})).reveal()).equal('correct horse')
  })

  it('ARCH-D4, AT-K04: refuses a PIN file that the group can read', async () => {
    const open = join(directory, 'open-pin')
    writeFileSync(open, '1234')
    chmodSync(open, 0o640)
    expect(await failure(readPin({ kind: 'file', path: open }, {}))).match(
      /token\.pinFile.*chmod 600/,
    )
  })

  it('takes the PIN from a systemd credential, and says what the unit lacks', async () => {
    const source = { kind: 'credential', name: 'pin' } as const
    expect((await readPin(source, { CREDENTIALS_DIRECTORY: directory })).reveal()).equal(
      'correct horse',
    )
    expect(await failure(readPin(source, {}))).include('LoadCredential=pin:')
  })

  it('takes the PIN from a command, without a shell', async () => {
    const source = { kind: 'command', command: ['/bin/echo', '$HOME;1'] } as const
    expect((await readPin(source, {})).reveal()).equal('$HOME;1')
  })

  it('says of a failing command its name, and nothing that it printed', async () => {
    const command = ['/bin/sh', '-c', 'echo half-a-pin; echo half-a-pin >&2; exit 3']
    const text = await failure(readPin({ kind: 'command', command }, {}))
    expect(text).include('/bin/sh failed')
    expect(text).not.include('half-a-pin')
  })

  it('refuses an empty PIN', async () => {
    expect(await failure(readPin({ kind: 'command', command: ['/bin/echo'] }, {}))).include('empty')
  })
})

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    expect(error).instanceOf(ConfigError)
    return JSON.stringify(error, Object.getOwnPropertyNames(error))
  }
  throw new Error('it succeeded')
}
