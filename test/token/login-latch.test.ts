import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { type LatchBoard, LoginLatch } from '../../src/token/login-latch.ts'

describe('ARCH-D4: login latch', () => {
  let directory: string
  const key = new Sensitive(Buffer.alloc(32, 7))
  const pin = new Sensitive('the-pin-canary-5512')
  const latch = () => new LoginLatch(directory, key)

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'latch-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('lets the first login through', () => {
    expect(latch().refusal('serial', pin)).to.equal(undefined)
  })

  it('refuses the same PIN after a refused login, also after a restart', () => {
    latch().close('serial', pin, 'CKR_PIN_INCORRECT')
    expect(latch().refusal('serial', pin)).to.match(/CKR_PIN_INCORRECT.*token unlatch/)
  })

  it('lets a changed PIN through', () => {
    latch().close('serial', pin, 'CKR_PIN_INCORRECT')
    expect(latch().refusal('serial', new Sensitive('another'))).to.equal(undefined)
  })

  it('keeps tokens apart, whatever characters their serials hold', () => {
    latch().close('../a/b', pin, 'CKR_PIN_INCORRECT')
    expect(latch().refusal('../a/c', pin)).to.equal(undefined)
    expect(latch().refusal('../a/b', pin)).to.be.a('string')
  })

  it('opens on request and says whether it was closed', () => {
    latch().close('serial', pin, 'CKR_PIN_INCORRECT')
    expect(latch().open('serial')).to.equal(true)
    expect(latch().open('serial')).to.equal(false)
    expect(latch().refusal('serial', pin)).to.equal(undefined)
  })

  it('writes neither the PIN nor anything readable by others', () => {
    latch().close('serial', pin, 'CKR_PIN_INCORRECT')
    const [name] = readdirSync(directory)
    const path = join(directory, name ?? '')
    expect(readFileSync(path, 'utf8')).not.to.include(pin.reveal())
    expect(statSync(path).mode & 0o077).to.equal(0)
  })

  it('gives another fingerprint on another host', () => {
    latch().close('serial', pin, 'CKR_PIN_INCORRECT')
    const elsewhere = new LoginLatch(directory, new Sensitive(Buffer.alloc(32, 8)))
    expect(elsewhere.refusal('serial', pin)).to.equal(undefined)
  })

  describe('of hosts that share a board', () => {
    const board = new Map<string, unknown>()
    let boardAnswers = true
    const shared: LatchBoard = {
      find: (serial) => board.get(serial),
      put: async (serial, latch) => {
        if (!boardAnswers) throw new Error('the board is away')
        if (latch === undefined) board.delete(serial)
        else board.set(serial, latch)
      },
    }
    const host = (name: string) => new LoginLatch(join(directory, name), key, shared)

    beforeEach(() => {
      board.clear()
      boardAnswers = true
    })

    it('is closed on all when it closes on one', async () => {
      const one = host('one')
      one.close('serial', pin, 'CKR_PIN_INCORRECT')
      await one.told()
      expect(host('other').refusal('serial', pin)).to.match(/CKR_PIN_INCORRECT/)
      expect(host('other').refusal('serial', new Sensitive('another'))).to.equal(undefined)
      expect(JSON.stringify([...board])).not.to.include(pin.reveal())
    })

    it('is open on all when it is opened on one', async () => {
      const [one, other] = [host('one'), host('other')]
      one.close('serial', pin, 'CKR_PIN_INCORRECT')
      await one.told()
      expect(other.open('serial')).to.equal(true)
      await other.told()
      expect(host('one').refusal('serial', pin)).to.equal(undefined)
    })

    it('stays closed on its host when the board never heard of it', async () => {
      boardAnswers = false
      const one = host('one')
      one.close('serial', pin, 'CKR_PIN_INCORRECT')
      expect(await one.told().catch((error: Error) => error.message)).to.equal('the board is away')
      expect(host('one').refusal('serial', pin)).to.be.a('string')
      expect(host('other').refusal('serial', pin)).to.equal(undefined)
    })
  })
})
