import { expect } from 'chai'
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { AdminFailure, askDaemon } from '../../src/daemon/admin-client.ts'
import { AdminServer } from '../../src/daemon/admin-server.ts'
import { ConfigError } from '../../src/daemon/config-error.ts'
import type { Logger } from '../../src/daemon/log.ts'
import { connections } from '../support/connections.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const ignore = (): void => {}
const SILENT: Logger = { error: ignore, warn: ignore, info: ignore, debug: ignore }

describe('administration socket', () => {
  const directory = temporaryDirectory()
  const path = join(directory, 'admin.sock')
  let server: AdminServer

  before(async () => {
    writeFileSync(path, 'left behind by a killed daemon')
    const handler = async (action: string, parameters: unknown) => {
      if (action === 'fail') throw new Error('in words for the operator')
      return { action, parameters }
    }
    server = await AdminServer.listen(path, handler, SILENT)
  })
  after(() => server.close())

  it('carries an action and its answer', async () => {
    expect(await askDaemon(path, 'key-list', { a: 1 })).deep.equal({
      action: 'key-list',
      parameters: { a: 1 },
    })
  })

  it('carries the words of a failure', async () => {
    expect(await failure(askDaemon(path, 'fail', {}))).equal('in words for the operator')
  })

  it('ARCH-D18: is of mode 0600', () => {
    expect(statSync(path).mode & 0o777).equal(0o600)
  })

  it('ARCH-D18: serves nobody once socket or directory were opened to others', async () => {
    for (const [target, open, closed] of [
      [path, 0o666, 0o600],
      [directory, 0o755, 0o700],
    ] as const) {
      chmodSync(target, open)
      try {
        expect(await failure(askDaemon(path, 'key-list', {}))).include('does not answer')
      } finally {
        chmodSync(target, closed)
      }
    }
    expect(await askDaemon(path, 'key-list', {})).property('action', 'key-list')
  })

  it('AT-K04: does not begin in a directory that is open to others', async () => {
    const open = join(directory, 'open')
    mkdirSync(open)
    chmodSync(open, 0o755)
    const begun = AdminServer.listen(join(open, 'admin.sock'), async () => 1, SILENT)
    await begun.then(
      () => expect.fail('it listens'),
      (error: unknown) => expect(error).instanceOf(ConfigError),
    )
  })

  it('AT-H17: takes 32 connections, disconnects who comes on top, and is there again when one goes', async () => {
    const held = await connections(32, { path })
    expect(await failure(askDaemon(path, 'key-list', {}))).include('does not answer')
    held.pop()?.destroy()
    while ((await askDaemon(path, 'key-list', {}).catch(() => undefined)) === undefined)
      await pause(5)
    for (const socket of held) socket.destroy()
  })

  it('takes POST only', async () => {
    expect(await statusOf('GET')).equal(400)
  })

  function statusOf(method: string): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      request({ socketPath: path, path: '/key-list', method }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
  }
})

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    expect(error).instanceOf(AdminFailure)
    return (error as AdminFailure).message
  }
  throw new Error('it succeeded')
}
