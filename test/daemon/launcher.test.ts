import { expect } from 'chai'
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from './temporary-directory.ts'

const LAUNCHER = join(import.meta.dirname, '../../scripts/hsm-bridge')
const SYSTEM_PATH = '/usr/bin:/bin'

describe('scripts/hsm-bridge', () => {
  const directory = temporaryDirectory()

  it('AT-K03: starts the program, also through a link, with no option of the shell that would open a debugger', () => {
    const link = join(directory, 'hsm-bridge')
    symlinkSync(LAUNCHER, link)
    const env = { PATH: SYSTEM_PATH, NODE_OPTIONS: '--inspect=127.0.0.1:0' }
    const { status, stdout, stderr } = spawnSync(link, ['--help'], { env, encoding: 'utf8' })
    expect([status, stderr]).deep.equal([0, ''])
    expect(stdout).include('AWS KMS, with the keys in your own HSM')
  })

  it('says what to do where there is no node that is new enough', () => {
    const bin = join(directory, 'bin')
    mkdirSync(bin)
    mkdirSync(join(directory, 'scripts'))
    const launcher = join(directory, 'scripts/hsm-bridge')
    copyFileSync(LAUNCHER, launcher)
    writeFileSync(join(bin, 'node'), '#!/bin/sh\necho v22.18.9\n')
    for (const file of [launcher, join(bin, 'node')]) chmodSync(file, 0o755)
    const { status, stderr } = spawnSync(launcher, [], {
      env: { PATH: `${bin}:${SYSTEM_PATH}` },
      encoding: 'utf8',
    })
    expect(status).equal(1)
    expect(stderr).include('needs node 22.19 or newer').and.include('scripts/setup')
  })
})
