import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { assert, expect } from 'chai'
import { type FaultModule, faultModule, PKCS11_FUNCTIONS } from '../support/fault-module.ts'
import { makeSoftHsmToken, type SoftHsmToken } from '../support/softhsm.ts'
import type { TokenProgramReply, TokenProgramRequest } from './token-program.ts'

const CKR_DEVICE_ERROR = 0x30
const CKR_SESSION_COUNT = 0xb1
const CKR_MECHANISM_PARAM_INVALID = 0x71
const CKR_GENERAL_ERROR = 0x05
const CKS_RW_PUBLIC_SESSION = 2
const ZERO_IV = '00'.repeat(12)
const IV = 'a5'.repeat(12)

type Ask = TokenProgramRequest['name']

/** The program of token-program.ts, with the fault module in it. It answers in order. */
class TokenProgram {
  readonly #child: ChildProcess
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  private constructor(child: ChildProcess) {
    this.#child = child
    this.exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  }
  static async start(fault: FaultModule, token: SoftHsmToken, lane: string): Promise<TokenProgram> {
    const { label, pin } = token
    const argument = JSON.stringify({ modulePath: fault.modulePath, label, pin })
    const child = fork(join(import.meta.dirname, 'token-program.ts'), [argument, lane], {
      env: { ...process.env, ...fault.env, ...token.env },
    })
    const program = new TokenProgram(child)
    await program.#message()
    return program
  }
  get pid(): number {
    return this.#child.pid as number
  }
  async #message(): Promise<unknown> {
    const ended = this.exit.then(() => assert.fail('the token program ended'))
    const [message] = await Promise.race([once(this.#child, 'message'), ended])
    return message
  }
  send(name: Ask, ...args: unknown[]): void {
    this.#child.send({ name, args })
  }
  async ask(name: Ask, ...args: unknown[]): Promise<TokenProgramReply> {
    this.send(name, ...args)
    return (await this.#message()) as TokenProgramReply
  }
  /** The value of an operation that must succeed. */
  async value<T>(name: Ask, ...args: unknown[]): Promise<T> {
    const reply = await this.ask(name, ...args)
    if (!('value' in reply)) throw new Error(`${name} failed with 0x${reply.ckr.toString(16)}`)
    return reply.value as T
  }
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await this.exit
  }
}

describe('the fault module', () => {
  let token: SoftHsmToken
  let fault: FaultModule
  let program: TokenProgram
  const started: TokenProgram[] = []
  const start = async (): Promise<TokenProgram> => {
    const one = await TokenProgram.start(fault, token, 'hot-2')
    started.push(one)
    return one
  }

  before(async function () {
    this.timeout(60_000) // compiles
    token = await makeSoftHsmToken()
    fault = faultModule(token.modulePath, token.dir)
  })
  after(async () => {
    await Promise.all(started.map(async (one) => await one.stop()))
    token.remove()
  })
  afterEach(() => fault.clear())

  describe('in a process that survives', () => {
    before(async () => {
      program = await start()
    })
    it('forwards every function of PKCS#11 2.40', async () => {
      expect(PKCS11_FUNCTIONS).to.have.length(67) // 68 less C_GetFunctionList
      const { iv, ciphertext } = await program.value<Sealed>('encrypt', 0, IV)
      expect(await program.value('decrypt', 0, iv, ciphertext)).to.equal('plaintext')
    })

    it('returns a code without calling, once', async () => {
      fault.rules([`C_Encrypt rv=${CKR_DEVICE_ERROR} count=1`])
      expect(await program.ask('encrypt', 0, IV)).to.deep.equal({ ckr: CKR_DEVICE_ERROR })
      expect(await program.ask('encrypt', 0, IV)).to.have.property('value')
    })

    it('skips calls, and starts to count anew with each rule file', async () => {
      for (const _ of [1, 2]) {
        fault.rules(['C_GenerateRandom skip=1 count=1 rv=0x80000123'])
        expect(await program.ask('random', 8)).to.have.property('value')
        expect(await program.ask('random', 8)).to.deep.equal({ ckr: 0x80000123 })
        expect(await program.ask('random', 8)).to.have.property('value')
      }
    })

    it('sees each of many rule files that follow at once', async () => {
      for (let i = 1; i <= 50; i++) {
        fault.rules([`C_GenerateRandom rv=${1000 + i}`])
        expect(await program.ask('random', 8)).to.deep.equal({ ckr: 1000 + i })
      }
      fault.clear()
      expect(await program.ask('random', 8)).to.have.property('value')
    })

    it('counts a rule over all processes', async () => {
      const other = await start()
      fault.rules(['C_GenerateRandom rv=0x30 count=1'])
      const replies = [await program.ask('random', 8), await other.ask('random', 8)]
      expect(replies[0]).to.deep.equal({ ckr: 0x30 })
      expect(replies[1]).to.have.property('value')
    })

    it('chooses by process and by lane', async () => {
      fault.rules([`C_GenerateRandom pid=${program.pid} rv=0x30`])
      expect(await program.ask('random', 8)).to.deep.equal({ ckr: 0x30 })
      fault.rules([`C_GenerateRandom pid=${process.pid} rv=0x30`])
      expect(await program.ask('random', 8)).to.have.property('value')
      for (const lane of ['hot', 'hot-2']) {
        fault.rules([`C_GenerateRandom lane=${lane} rv=0x30`])
        expect(await program.ask('random', 8), lane).to.deep.equal({ ckr: 0x30 })
      }
      for (const lane of ['cold', 'ho', 'hot-21']) {
        fault.rules([`C_GenerateRandom lane=${lane} rv=0x30`])
        expect(await program.ask('random', 8), lane).to.have.property('value')
      }
    })

    it('does the work and then denies it', async () => {
      const id = '0a'.repeat(16)
      fault.rules(['C_GenerateKey rv=0x30 post'])
      expect(await program.ask('generate', id)).to.deep.equal({ ckr: 0x30 })
      expect(await program.value('find', id, 2)).to.have.length(1)
    })

    it('claims success without calling', async () => {
      const id = '0b'.repeat(16)
      fault.rules(['C_GenerateKey ok'])
      await program.value('generate', id)
      expect(await program.value('find', id, 2)).to.have.length(0)
    })

    it('adds up rules, the upper one first', async () => {
      fault.rules(['C_GenerateRandom rv=0x30', '* rv=0x31'])
      expect(await program.ask('random', 8)).to.deep.equal({ ckr: 0x31 }) // C_OpenSession fails
      fault.rules(['C_GenerateRandom delay=30', 'C_GenerateRandom rv=0x30 delay=900'])
      fault.forgetCalls()
      expect(await program.ask('random', 8)).to.deep.equal({ ckr: 0x30 })
      const call = fault.calls().find((c) => c.function === 'C_GenerateRandom')
      expect(call?.us).to.be.within(30_000, 400_000)
    })

    it('delays calls in threads side by side', async () => {
      fault.rules(['C_Encrypt delay=200.5'])
      expect(await program.value<number>('encryptAtOnce', 4)).to.be.within(200, 600)
    })

    it('hangs until it is released', async () => {
      const hang = fault.hang('encrypt')
      fault.rules([`C_Encrypt hang=${hang.path}`])
      let answered = false
      const reply = program.ask('encrypt', 0, IV).finally(() => {
        answered = true
      })
      await new Promise((resolve) => setTimeout(resolve, 100))
      expect(answered).to.equal(false)
      hang.release()
      expect(await reply).to.have.property('value')
    })

    it('flips one bit of an output', async () => {
      const whole = await program.value<Sealed>('encrypt', 0, IV)
      fault.rules(['C_Encrypt flip=9'])
      const spoilt = await program.value<Sealed>('encrypt', 0, IV)
      expect(differentBits(whole.ciphertext, spoilt.ciphertext)).to.deep.equal([9])
      expect(await program.ask('decrypt', 0, IV, spoilt.ciphertext)).to.deep.equal({
        ckr: CKR_GENERAL_ERROR,
      })
    })

    it('keeps the last bytes of an output back', async () => {
      const whole = await program.value<Sealed>('encrypt', 0, IV)
      fault.rules(['C_Encrypt short=3'])
      const { ciphertext } = await program.value<Sealed>('encrypt', 0, IV)
      expect(ciphertext).to.equal(whole.ciphertext.slice(0, -6))
    })

    it('writes its own IV and refuses one from the host', async () => {
      fault.rules(['C_EncryptInit hsmiv'])
      expect(await program.ask('encrypt', 0, IV)).to.deep.equal({
        ckr: CKR_MECHANISM_PARAM_INVALID,
      })
      const sealed = await program.value<Sealed>('encrypt', 0, ZERO_IV)
      expect(sealed.iv).not.to.equal(ZERO_IV)
      expect(await program.value('decrypt', 0, sealed.iv, sealed.ciphertext)).to.equal('plaintext')
    })

    it('appends its own IV behind the tag', async () => {
      fault.rules(['C_EncryptInit appendiv=16'])
      const { ciphertext } = await program.value<Sealed>('encrypt', 0, ZERO_IV)
      expect(ciphertext.length / 2).to.equal('plaintext'.length + 16 + 16)
      const iv = ciphertext.slice(-32)
      expect(await program.value('decrypt', 0, iv, ciphertext.slice(0, -32))).to.equal('plaintext')
    })

    it('draws zeros, and the same bytes again', async () => {
      fault.rules(['C_GenerateRandom zerorandom'])
      expect(await program.value('random', 12)).to.equal(ZERO_IV)
      fault.rules(['C_GenerateRandom repeatrandom'])
      const first = await program.value<string>('random', 12)
      expect(await program.value('random', 16)).to.match(new RegExp(`^${first}`))
      expect(first).not.to.equal(ZERO_IV)
    })

    it('uses the other key', async () => {
      const { iv, ciphertext } = await program.value<Sealed>('encrypt', 0, IV)
      await program.value('encrypt', 1, IV)
      fault.rules(['C_DecryptInit swaphandle count=1'])
      expect(await program.ask('decrypt', 0, iv, ciphertext)).to.deep.equal({
        ckr: CKR_GENERAL_ERROR,
      })
      expect(await program.value('decrypt', 0, iv, ciphertext)).to.equal('plaintext')
    })

    it('finds nothing, or the same object twice', async () => {
      const [id] = await program.value<string[]>('ids')
      fault.rules(['C_FindObjects dropfound'])
      expect(await program.value('find', id, 2)).to.deep.equal([])
      fault.rules(['C_FindObjects dupfound'])
      const found = await program.value<string[]>('find', id, 2)
      expect(found).to.have.length(2)
      expect(found[0]).to.equal(found[1])
    })

    it('shows another serial number', async () => {
      const serial = await program.value('serial')
      fault.rules(['C_GetTokenInfo serial=0123456789abcdef'])
      expect(await program.value('serial')).to.equal('0123456789abcdef')
      fault.clear()
      expect(await program.value('serial')).to.equal(serial)
    })

    it('allows only so many sessions', async () => {
      fault.rules(['* maxsessions=2']) // the anchor and the one of the operation
      expect(await program.value('maxSessions')).to.equal(2)
      expect(await program.ask('encryptAtOnce', 1)).to.deep.equal({ ckr: CKR_SESSION_COUNT })
    })

    it('records what was asked, and no PIN', async () => {
      fault.forgetCalls()
      await program.value('encrypt', 0, IV)
      await program.value('label', 0)
      const calls = fault.calls()
      expect(fault.countCalls('C_Encrypt')).to.equal(1)
      expect(calls.map((c) => c.function)).to.include.members(['C_OpenSession', 'C_EncryptInit'])
      const init = calls.find((c) => c.function === 'C_EncryptInit')
      expect(init).to.deep.include({ pid: program.pid, rv: 0, mechanism: 0x1087, injected: false })
      expect(init?.key).to.be.above(0)
      const encrypt = calls.find((c) => c.function === 'C_Encrypt')
      expect(encrypt).to.deep.include({ inBytes: 'plaintext'.length, rv: 0 })
      expect(encrypt?.us).to.be.above(0)
      const attributes = calls.find((c) => c.function === 'C_GetAttributeValue')
      expect(attributes?.attributes).to.deep.equal([0x102, 0x103])
    })

    it('records the class of what is made, and the kind of user', async () => {
      fault.forgetCalls()
      fault.rules(['C_GenerateKey delay=0'])
      const other = await start()
      const login = fault.calls().filter((c) => c.function === 'C_Login')
      expect(login).to.have.length(1)
      expect(login[0]).to.deep.include({ pid: other.pid, rv: 0, user: 1 })
      expect(login[0]).not.to.have.property('inBytes')
      const made = fault.calls().find((c) => c.function === 'C_GenerateKey')
      expect(made).to.deep.include({ class: 4, mechanism: 0x1080, injected: true })
      expect(made?.made).to.be.above(0)
      expect(made?.attributes).to.include.members([0x0, 0x1, 0x103])
    })
  })

  describe('in a process that it ends', () => {
    beforeEach(async () => {
      program = await start()
    })
    for (const [action, end] of Object.entries({
      abort: { code: null, signal: 'SIGABRT' },
      segv: { code: null, signal: 'SIGSEGV' },
      kill9: { code: null, signal: 'SIGKILL' },
      'exit=7': { code: 7, signal: null },
    }))
      it(`ends it by ${action}, and records the call first`, async () => {
        fault.rules([`C_GenerateRandom ${action}`])
        fault.forgetCalls()
        program.send('random', 8)
        expect(await program.exit).to.deep.equal(end)
        const last = fault.calls().at(-1)
        expect(last).to.deep.include({
          function: 'C_GenerateRandom',
          rv: undefined,
          injected: true,
        })
      })

    it('does the work and ends it without an answer', async () => {
      const id = '0c'.repeat(16)
      fault.rules(['C_GenerateKey kill9post'])
      program.send('generate', id)
      expect(await program.exit).to.deep.equal({ code: null, signal: 'SIGKILL' })
      fault.clear()
      program = await start()
      expect(await program.value('find', id, 2)).to.have.length(1)
    })

    it('logs out, or closes all sessions, before the call', async () => {
      fault.rules(['C_EncryptInit logout count=1'])
      expect(await program.ask('encrypt', 0, IV)).to.have.property('ckr')
      expect(await program.value('sessionState')).to.equal(CKS_RW_PUBLIC_SESSION)
      fault.rules(['C_GenerateRandom closeall count=1'])
      expect(await program.ask('random', 8)).to.deep.equal({ ckr: 0xb3 })
      expect(await program.ask('sessionState')).to.deep.equal({ ckr: 0xb3 })
    })
  })

  it('refuses a rule that it would not understand', () => {
    for (const line of ['C_Encript rv=0x30', 'C_Encrypt dely=3', 'C_Encrypt count=1', '* rv='])
      expect(() => fault.rules([line]), line).to.throw(TypeError)
  })
})

interface Sealed {
  readonly iv: string
  readonly ciphertext: string
}

/** Numbers of the bits that differ, lowest bit of the first byte first. */
function differentBits(a: string, b: string): number[] {
  const left = Buffer.from(a, 'hex')
  const right = Buffer.from(b, 'hex')
  return Array.from({ length: left.length * 8 }, (_, bit) => bit).filter(
    (bit) => ((left.readUInt8(bit >> 3) ^ right.readUInt8(bit >> 3)) >> (bit & 7)) & 1,
  )
}
