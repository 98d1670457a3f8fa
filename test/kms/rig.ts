import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type AuditTrail, newTrail } from '../../src/kms/audit-trail.ts'
import type { Caller } from '../../src/kms/caller.ts'
import { createKms, type KmsParts, type KmsService } from '../../src/kms/create-kms.ts'
import { KmsError, type KmsErrorCode } from '../../src/kms/kms-error.ts'
import type { OperationName } from '../../src/kms/operation-names.ts'
import type { KmsNotice } from '../../src/kms/kms-context.ts'
import { compilePolicy } from '../../src/policy/compile-policy.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { forgetOnEngine, openOnEngine } from '../support/engine.ts'
import { FakeCustody } from '../support/fake-custody.ts'

export const ACCOUNT = '111122223333'
export const OTHER_ACCOUNT = '444455556666'
export const REGION = 'eu-central-1'

/** A clock that only moves when a test says so. */
export class TestClock {
  wall = Date.UTC(2026, 10, 22, 12, 0, 0)
  monotonic = 0

  now(): number {
    return this.wall
  }

  uptime(): number {
    return this.monotonic
  }

  /** Time goes by. */
  pass(ms: number): void {
    this.wall += ms
    this.monotonic += ms
  }
}

export function allowing(...actions: string[]): string {
  return statement({ Effect: 'Allow', Action: actions, Resource: '*' })
}

export function statement(...statements: object[]): string {
  return JSON.stringify({ Version: '2012-10-17', Statement: statements })
}

export function caller(
  name: string,
  policies: readonly string[] = [allowing('kms:*')],
  { accountId = ACCOUNT, region = REGION } = {},
): Caller {
  return {
    accountId,
    arn:
      name === 'root' ? `arn:aws:iam::${accountId}:root` : `arn:aws:iam::${accountId}:user/${name}`,
    userName: name,
    userId: `AIDA${name.toUpperCase()}`,
    accessKeyId: `AKIA${name.toUpperCase()}`,
    identityPolicies: policies.map((text) => compilePolicy(text, 'identity')),
    region,
  }
}

export const ALICE = caller('alice')

interface Asked {
  readonly by?: Caller
  readonly trail?: AuditTrail
}

/** The rules on a database of their own and a custody in memory. */
export class Rig {
  readonly directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-kms-'))
  readonly clock = new TestClock()
  database = 'hsm-bridge.db'
  readonly notices: KmsNotice[] = []
  readonly custody: FakeCustody
  storage!: Storage
  kms!: KmsService

  constructor(custody = new FakeCustody()) {
    this.custody = custody
  }

  async start(parts: Partial<KmsParts> = {}): Promise<this> {
    this.storage = await openOnEngine(this.directory, this.database)
    this.kms = createKms({
      storage: this.storage,
      custody: this.custody,
      clock: this.clock,
      notify: (notice) => this.notices.push(notice),
      ...parts,
    })
    return this
  }

  /** Ends without any goodbye of the rules, as a killed process does. */
  async restart(parts: Partial<KmsParts> = {}): Promise<void> {
    await this.storage.close()
    await this.start(parts)
  }

  async remove(): Promise<void> {
    await this.storage.close()
    forgetOnEngine(this.directory)
    rmSync(this.directory, { recursive: true })
  }

  // oxlint-disable-next-line no-explicit-any -- replies are what the tests look into
  async ask(operation: OperationName, input: object = {}, { by, trail }: Asked = {}): Promise<any> {
    return this.kms.perform({
      operation,
      input: input as Record<string, unknown>,
      caller: by ?? ALICE,
      facts: {
        requestId: randomUUID(),
        sourceIp: '192.0.2.7',
        secureTransport: true,
        userAgent: 'test',
        receivedAt: this.clock.now(),
      },
      trail: trail ?? newTrail(),
    })
  }

  async makeKey(input: object = {}, asked: Asked = {}): Promise<{ keyId: string; arn: string }> {
    return (await this.ask('CreateKey', input, asked)).keyMetadata
  }

  async encrypt(keyId: string, text = 'secret', input: object = {}): Promise<Buffer> {
    const reply = await this.ask('Encrypt', { keyId, plaintext: Buffer.from(text), ...input })
    return reply.ciphertextBlob
  }

  async decrypt(
    ciphertextBlob: Uint8Array,
    input: object = {},
    asked: Asked = {},
  ): Promise<string> {
    const reply = await this.ask('Decrypt', { ciphertextBlob, ...input }, asked)
    return reply.plaintext.toString()
  }
}

/** Expects one exception of the API; `message` is the exact text, or undefined for an exception without any. */
export async function expectKmsError(
  outcome: Promise<unknown>,
  code: KmsErrorCode,
  ...message: [string | undefined] | []
): Promise<void> {
  const error = await outcome.then(
    () => expect.fail(`expected ${code}, but it succeeded`),
    (thrown: unknown) => thrown,
  )
  expect(error, String(error)).to.be.instanceOf(KmsError)
  const refusal = error as KmsError
  expect(refusal.code).to.equal(code)
  if (message.length === 0) return
  expect(refusal.hasMessage ? refusal.message : undefined).to.equal(message[0])
}
