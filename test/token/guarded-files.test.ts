import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  findSoftHsmTokenDirectory,
  guardLogin,
  isWholeObjectFile,
} from '../../src/token/guarded-files.ts'
import { itemAt } from '../support/item-at.ts'
import { LaneClient, refusalOf, startAnchored } from '../support/lane-client.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'

describe('guarded files', () => {
  let token: SoftHsmToken
  let files: { tokenDirectory: string; globs: string[]; guardDirectory: string }
  let path: string

  before(async () => {
    token = await makeSoftHsmToken()
  })
  after(() => token.remove())
  beforeEach(() => {
    const directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-guard-'))
    const original = itemAt(readdirSync(token.tokenDirectory), 0)
    mkdirSync(join(directory, 'tokens', original), { recursive: true })
    path = join(directory, 'tokens', original, 'token.object')
    writeFileSync(path, tokenObject(), { mode: 0o600 })
    files = {
      tokenDirectory: join(directory, 'tokens'),
      globs: ['*/token.object'],
      guardDirectory: join(directory, 'guard'),
    }
  })
  afterEach(() => rmSync(join(files.guardDirectory, '..'), { recursive: true }))

  const tokenObject = () =>
    readFileSync(
      join(token.tokenDirectory, itemAt(readdirSync(token.tokenDirectory), 0), 'token.object'),
    )
  const login = () => guardLogin(files, Date.now() + 1000, (restored) => restored)
  const lockPath = () => join(files.tokenDirectory, '.hsm-bridge-login.lock')

  it('are copied before the login, readable by nobody else', () => {
    expect(login()).to.deep.equal([])
    expect(statSync(files.guardDirectory).mode & 0o777).to.equal(0o700)
    const [copy] = readdirSync(files.guardDirectory)
    expect(readFileSync(join(files.guardDirectory, copy ?? ''))).to.deep.equal(tokenObject())
    expect(statSync(join(files.guardDirectory, copy ?? '')).mode & 0o777).to.equal(0o600)
  })

  it('are put back when a login has emptied them, or cut them anywhere (FM-F23)', () => {
    login()
    const whole = tokenObject()
    for (const length of [0, 1, 8, 9, 100, whole.length - 1]) {
      truncateSync(path, length)
      expect(login(), `${length} bytes`).to.deep.equal([path])
      expect(readFileSync(path)).to.deep.equal(whole)
    }
  })

  it('are not put back over a file that is whole, though shorter: that was somebody', () => {
    login()
    const made = wholePrefix(tokenObject())
    writeFileSync(path, made)
    expect(login()).to.deep.equal([])
    expect(readFileSync(path)).to.deep.equal(made)
  })

  it('are left alone when there is no copy', () => {
    truncateSync(path, 0)
    expect(login()).to.deep.equal([])
    expect(statSync(path).size).to.equal(0)
  })

  it('a truncated file never replaces the copy', () => {
    login()
    truncateSync(path, 0)
    login()
    truncateSync(path, 0)
    expect(login()).to.deep.equal([path])
  })

  it('the lock is held during the login and gone afterwards, also when the login fails', () => {
    guardLogin(files, 0, () => expect(existsSync(lockPath())).to.equal(true))
    expect(existsSync(lockPath())).to.equal(false)
    expect(() =>
      guardLogin(files, 0, () => {
        throw new Error('refused')
      }),
    ).to.throw('refused')
    expect(existsSync(lockPath())).to.equal(false)
  })

  it('one process at a time: the second waits until its deadline', () => {
    guardLogin(files, 0, () => {
      const began = Date.now()
      expect(() => guardLogin(files, Date.now() + 60, () => {}))
        .to.throw()
        .with.property('code', 'DEADLINE')
      expect(Date.now() - began).to.be.at.least(60)
    })
  })

  it('the lock of a process that has died is no lock', async () => {
    const script = `
      import { guardLogin } from ${JSON.stringify(join(import.meta.dirname, '../../src/token/guarded-files.ts'))}
      guardLogin(${JSON.stringify(files)}, 0, () => process.kill(process.pid, 'SIGKILL'))`
    const dead = spawnSync(process.execPath, ['--input-type=module', '-e', script])
    expect(dead.signal).to.equal('SIGKILL')
    expect(existsSync(lockPath())).to.equal(true)
    expect(login()).to.deep.equal([])
  })

  it('the lock of another process with the number of a dead one is no lock either', async () => {
    const stranger = spawn('/bin/sleep', ['60'])
    await once(stranger, 'spawn')
    login()
    writeFileSync(lockPath(), `${stranger.pid} 1`) // started at another time than the holder
    expect(login()).to.deep.equal([])
    stranger.kill()
  })

  it('nothing is left behind but the copies', () => {
    login()
    login()
    expect(readdirSync(files.guardDirectory)).to.have.length(1)
  })

  it('SoftHSM2 object files are whole to their last byte, and at no cut', () => {
    const whole = tokenObject()
    expect(isWholeObjectFile(whole)).to.equal(true)
    const cuts = Array.from({ length: whole.length }, (_, length) => length)
    const wholeCuts = cuts.filter((length) => isWholeObjectFile(whole.subarray(0, length)))
    // A cut between two attributes cannot be told from a file with fewer of them.
    expect(wholeCuts.length).to.be.below(10)
    expect(wholeCuts).not.to.include(0)
    expect(wholeCuts).not.to.include(8)
  })

  it('the token directory is what SoftHSM2 is told', () => {
    expect(findSoftHsmTokenDirectory({ SOFTHSM2_CONF: token.confPath })).to.equal(
      token.tokenDirectory,
    )
    expect(findSoftHsmTokenDirectory({})).to.equal(undefined)
  })
})

describe('a lane on a token whose token.object was truncated', () => {
  it('puts it back, says so, and works on (FM-F23)', async () => {
    const token = await makeSoftHsmToken()
    const { cold, anchors } = await startAnchored(token)
    const guardDirectory = join(token.dir, 'guard')
    await cold.stop()
    const path = join(
      token.tokenDirectory,
      itemAt(readdirSync(token.tokenDirectory), 0),
      'token.object',
    )
    truncateSync(path, 0)

    const without = { anchors, guardDirectory: join(token.dir, 'empty') }
    expect(await refusalOf(LaneClient.start(token, without))).to.include({ code: 'DEVICE_GONE' })

    const lane = await LaneClient.start(token, { anchors, guardDirectory })
    expect(lane.started.restoredFiles).to.deep.equal([path])
    await lane.call('health', [])
    await lane.stop()
    const next = await LaneClient.start(token, { anchors, guardDirectory })
    expect(next.started.restoredFiles).to.deep.equal([])
    await next.stop()
    token.remove()
  })
})

/** The longest shorter file that ends where an attribute ends. */
function wholePrefix(whole: Buffer): Buffer {
  for (let length = whole.length - 1; length > 8; length -= 1)
    if (isWholeObjectFile(whole.subarray(0, length))) return whole.subarray(0, length)
  throw new Error('the file has one attribute only')
}
