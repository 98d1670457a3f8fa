import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { AEAD_SCHEMES } from '../../src/crypto/aead-scheme.ts'
import type {
  Material,
  MaterialOrigin,
  MaterialPlan,
  Sealed,
} from '../../src/crypto/key-custody.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'
import {
  decryptCall,
  encryptCall,
  encryptRandomCall,
  encryptVerifiedCall,
  type GenerateReply,
  LANE_CALLS,
  type LaneCall,
  type LaneErrorReply,
  materialToJson,
  REQUEST_HEADER_BYTES,
  RESPONSE_HEADER_BYTES,
  randomCall,
  STATUS_OK,
  type StartReply,
  type StartRequest,
  sealedReply,
  type TokenAnchors,
  verifiedReply,
} from '../../src/token/lane-protocol.ts'
import type { FaultModule } from './fault-module.ts'
import type { SoftHsmToken } from './softhsm.ts'

const LANE_MAIN = join(import.meta.dirname, '../../src/token/lane-main.ts')

/** What a lane answered instead of a result. */
export class LaneRefusal extends Error {
  readonly reply: LaneErrorReply

  constructor(reply: LaneErrorReply) {
    super(`${reply.code} (${reply.advice}): ${reply.message}`)
    this.reply = reply
  }
}

export interface LaneClientOptions {
  readonly role?: 'hot' | 'cold'
  readonly anchors?: TokenAnchors
  readonly pin?: string
  readonly profile?: Partial<VendorProfile>
  readonly faults?: FaultModule
  readonly guardDirectory?: string
}

interface Waiting {
  resolve(payload: Buffer): void
  reject(error: Error): void
}

/** A real lane process and the front's end of its socket, one frame at a time. */
export class LaneClient {
  readonly child: ChildProcess
  readonly socket: Duplex
  /** Exit code and signal. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  stderr = ''
  started!: StartReply
  readonly #waiting = new Map<number, Waiting>()
  #unread: Buffer = Buffer.alloc(0)
  #nextId = 1

  constructor(environment: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, [LANE_MAIN], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...environment },
    })
    this.socket = this.child.stdio[3] as Duplex
    this.socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.socket.on('error', () => {})
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.exited = new Promise((resolve) =>
      this.child.once('exit', (code, signal) => {
        resolve({ code, signal })
        for (const { reject } of this.#waiting.values())
          reject(new Error(`the lane ended (${code ?? signal}): ${this.stderr}`))
      }),
    )
  }

  static async start(token: SoftHsmToken, options: LaneClientOptions = {}): Promise<LaneClient> {
    const role = options.role ?? 'hot'
    const lane = new LaneClient({
      ...token.env,
      ...options.faults?.env,
      P11FAULT_LANE_ROLE: role,
    })
    try {
      lane.started = await lane.json<StartReply>('start', {
        modulePath: options.faults?.modulePath ?? token.modulePath,
        tokenSerial: token.serial,
        pin: options.pin ?? token.pin,
        profile: { ...token.profile, ...options.profile },
        role,
        ...(options.anchors && { anchors: options.anchors }),
        guardDirectory: options.guardDirectory ?? join(token.dir, 'guard'),
      } satisfies StartRequest)
      return lane
    } catch (error) {
      await lane.stop()
      throw error
    }
  }

  call(call: LaneCall, parts: readonly Buffer[], deadlineAt?: number): Promise<Buffer> {
    return this.send(LANE_CALLS[call].number, Buffer.concat(parts), deadlineAt)
  }

  send(callNumber: number, payload: Buffer, deadlineAt = Date.now() + 10_000): Promise<Buffer> {
    const id = this.#nextId++
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
    })
    this.socket.write(frameOf(id, callNumber, payload, deadlineAt))
    return answer
  }

  async json<Reply>(call: LaneCall, request: object = {}): Promise<Reply> {
    const reply = await this.call(call, [Buffer.from(JSON.stringify(request))])
    return JSON.parse(reply.toString('utf8')) as Reply
  }

  async encrypt(material: Material, plaintext: Buffer, aad: Buffer): Promise<Sealed> {
    return sealedReply.read(await this.call('encrypt', encryptCall.write(material, plaintext, aad)))
  }

  decrypt(material: Material, sealed: Sealed, aad: Buffer): Promise<Buffer> {
    return this.call('decrypt', decryptCall.write(material, sealed, aad))
  }

  async encryptRandom(material: Material, bytes: number, aad: Buffer) {
    const reply = await this.call('encryptRandom', encryptRandomCall.write(material, bytes, aad))
    return sealedReply.readWithPlaintext(reply)
  }

  async encryptVerified(material: Material, plaintext: Buffer, aad: Buffer, digestPrefix: Buffer) {
    const parts = encryptVerifiedCall.write(material, plaintext, aad, digestPrefix)
    return verifiedReply.read(await this.call('encryptVerified', parts))
  }

  random(bytes: number): Promise<Buffer> {
    return this.call('random', randomCall.write(bytes))
  }

  async make(plan: MaterialPlan): Promise<Material> {
    const { proof } = await this.json<GenerateReply>('generate', { plan, label: 'test key' })
    return { ...plan, proof: Buffer.from(proof, 'base64') }
  }

  /** Goes away as a front does, and waits for the lane's end. */
  async stop(): Promise<{ code: number | null; signal: string | null }> {
    this.socket.end()
    return this.exited
  }

  #receive(chunk: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, chunk])
    while (this.#unread.length >= RESPONSE_HEADER_BYTES) {
      const end = 4 + this.#unread.readUInt32BE(0)
      if (end > this.#unread.length) return
      this.#settle(this.#unread.subarray(0, end))
      this.#unread = this.#unread.subarray(end)
    }
  }

  #settle(frame: Buffer): void {
    const waiting = this.#waiting.get(frame.readUInt32BE(4))
    this.#waiting.delete(frame.readUInt32BE(4))
    const payload = frame.subarray(RESPONSE_HEADER_BYTES)
    if (frame.readUInt8(8) === STATUS_OK) waiting?.resolve(payload)
    else waiting?.reject(new LaneRefusal(JSON.parse(payload.toString('utf8'))))
  }
}

export function frameOf(
  id: number,
  callNumber: number,
  payload: Buffer,
  deadlineAt: number,
): Buffer {
  const header = Buffer.alloc(REQUEST_HEADER_BYTES)
  header.writeUInt32BE(REQUEST_HEADER_BYTES - 4 + payload.length, 0)
  header.writeUInt32BE(id, 4)
  header.writeUInt8(callNumber, 8)
  header.writeDoubleBE(deadlineAt, 9)
  return Buffer.concat([header, payload])
}

/** Runs `work`, which must be refused, and answers how. */
export async function refusalOf(work: Promise<unknown>): Promise<LaneErrorReply> {
  try {
    await work
  } catch (error) {
    if (error instanceof LaneRefusal) return error.reply
    throw error
  }
  throw new Error('the lane did not refuse')
}

/** A plan as the front draws it. */
export function planFor(token: SoftHsmToken): MaterialPlan {
  const scheme = token.profile.aeadScheme
  return {
    materialId: randomBytes(32).toString('hex'),
    scheme,
    objects: AEAD_SCHEMES[scheme].objects.map(({ role, keyType }) => ({
      role,
      tokenSerial: token.serial,
      keyType,
      id: randomBytes(16).toString('hex'),
    })),
  }
}

export const ORIGIN: MaterialOrigin = {
  keyId: '1234abcd-12ab-34cd-56ef-1234567890ab',
  accountId: '111122223333',
  region: 'eu-central-1',
  keySpec: 'SYMMETRIC_DEFAULT',
  keyUsage: 'ENCRYPT_DECRYPT',
  origin: 'AWS_KMS',
  lineage: 7,
  createdAt: 1_800_000_000_000,
}

/** Makes canary and record key as `token init` does, and answers the cold lane that made them. */
export async function startAnchored(
  token: SoftHsmToken,
  options: Omit<LaneClientOptions, 'role' | 'anchors'> = {},
): Promise<{ cold: LaneClient; anchors: TokenAnchors }> {
  const cold = await LaneClient.start(token, { ...options, role: 'cold' })
  const plan = planFor(token)
  const recordKeyId = randomBytes(16).toString('hex')
  const { proof } = await cold.json<GenerateReply>('generate', {
    plan,
    label: 'hsm-bridge:canary',
    recordKeyId,
  })
  const canary = { ...plan, proof: Buffer.from(proof, 'base64') }
  await cold.json('record', { kind: 'canary', material: materialToJson(canary), origin: ORIGIN })
  return { cold, anchors: { canary, recordKeyId } }
}
