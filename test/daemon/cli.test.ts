import { expect } from 'chai'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main } from '../../src/daemon/cli.ts'
import { ADMIN_COMMANDS } from '../../src/daemon/commands/index.ts'
import { capturedStream } from './captured-stream.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('command line', () => {
  const directory = temporaryDirectory()

  async function run(...argv: string[]) {
    const stdout = capturedStream()
    const stderr = capturedStream()
    const env = { HSM_BRIDGE_STATE: join(directory, 'state') }
    const code = await main(argv, { env, stdout: stdout.stream, stderr: stderr.stream })
    await new Promise(setImmediate)
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  }

  it('shows its commands and exits with 0', async () => {
    const { code, stdout } = await run('--help')
    expect(code).equal(0)
    for (const name of [
      'serve',
      'init',
      'principal',
      'token',
      'key',
      'blob',
      'doctor',
      'reconcile',
      'rebuild',
      'backup',
      'restore',
    ])
      expect(stdout).match(new RegExp(`^  ${name}\\b`, 'm'))
  })

  for (const argv of [
    [],
    ['nonsense'],
    ['key'],
    ['key', 'show'],
    ['key', 'list', '--no-such'],
    ['backup'],
    ['principal', 'create', '--name', 'x'],
  ]) {
    it(`exits with 2 on "${argv.join(' ')}"`, async () => {
      const { code, stderr } = await run(...argv)
      expect(code).equal(2)
      expect(stderr).not.equal('')
    })
  }

  it('exits with 78 and one line on a wrong configuration', async () => {
    const file = join(directory, 'config.yaml')
    writeFileSync(file, 'kms: {listen: "0.0.0.0:1"}\n', { mode: 0o600 })
    const { code, stderr } = await run('key', 'list', '--config', file)
    expect(code).equal(78)
    expect(stderr).match(/^hsm-bridge: kms\.listen: .*\n$/)
  })

  it('exits with 78 and names the next step when there is no installation', async () => {
    const { code, stderr } = await run('key', 'list')
    expect(code).equal(78)
    expect(stderr).include('run: hsm-bridge init')
  })

  it('AT-K04: exits with 78 when the state directory is open to others', async () => {
    const open = join(directory, 'open')
    mkdirSync(open, { mode: 0o755 })
    const { code, stderr } = await run('key', 'list', '--state', open)
    expect(code).equal(78)
    expect(stderr).include('chmod 700')
  })

  it('has --json, --state and --config on every command', async () => {
    for (const { name } of ADMIN_COMMANDS) {
      const { stdout } = await run(...name.split(' '), '--help')
      for (const option of ['--json', '--state', '--config']) expect(stdout, name).include(option)
    }
  })

  it('takes no secret as an argument', () => {
    const flags = ADMIN_COMMANDS.flatMap((command) => command.flags.map((row) => row.flags))
    for (const flag of flags) expect(flag).not.match(/--(pin|secret|password)\b(?!-from-file)/)
  })
})
