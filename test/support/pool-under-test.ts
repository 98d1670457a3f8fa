import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import type { Material, MaterialOrigin } from '../../src/crypto/key-custody.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'
import type { TokenAnchors } from '../../src/token/lane-protocol.ts'
import { LoginLatch } from '../../src/token/login-latch.ts'
import { TokenCustody } from '../../src/token/token-custody.ts'
import { TokenPool } from '../../src/token/token-pool.ts'
import { type FaultModule, faultModule } from './fault-module.ts'
import { makeSoftHsmToken, type SoftHsmToken } from './softhsm.ts'

const INSTANCE_ID = 'instance-under-test'

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly facts: Record<string, unknown>
}

/** A pool of real lanes on a fresh SoftHSM2 token with our fault module in between. */
export class PoolUnderTest {
  readonly token: SoftHsmToken
  readonly faults: FaultModule
  readonly log: LogLine[] = []
  pool: TokenPool
  custody: TokenCustody
  anchors: TokenAnchors | undefined
  #lineage = 1

  private constructor(token: SoftHsmToken, faults: FaultModule, profile: Partial<VendorProfile>) {
    this.token = token
    this.faults = faults
    this.pool = this.newPool({ profile })
    this.custody = new TokenCustody(this.pool)
  }

  /** A token with canary, record key and owner, and a pool with every lane up. */
  static async start(
    options: { profile?: Partial<VendorProfile>; withoutGcm?: boolean; record?: boolean } = {},
  ): Promise<PoolUnderTest> {
    const token = await makeSoftHsmToken({ withoutGcm: options.withoutGcm ?? false })
    const faults = faultModule(token.modulePath, token.dir, { record: options.record ?? true })
    const test = new PoolUnderTest(token, faults, options.profile ?? {})
    await test.pool.start(undefined)
    test.anchors = await test.custody.makeAnchors()
    await test.pool.adopt(test.anchors)
    await test.custody.claimOwnership({ instanceId: INSTANCE_ID, lineage: test.#lineage })
    await test.whole()
    return test
  }

  /** Another pool on the same token, not started: as after a restart, or with another PIN. */
  newPool(options: { pin?: string; profile?: Partial<VendorProfile> } = {}): TokenPool {
    const { token, faults } = this
    return new TokenPool({
      modulePath: faults.modulePath,
      tokenSerial: token.serial,
      pin: new Sensitive(options.pin ?? token.pin),
      profile: { ...token.profile, ...options.profile },
      environment: { PATH: process.env['PATH'] ?? '', ...token.env, ...faults.env },
      guardDirectory: join(token.dir, 'guard'),
      latch: this.latch(),
      log: (level, message, facts) => this.log.push({ level, message, facts }),
    })
  }

  latch(): LoginLatch {
    return new LoginLatch(join(this.token.dir, 'latch'), new Sensitive(Buffer.alloc(32, 1)))
  }

  nextLineage(): number {
    this.#lineage += 1
    return this.#lineage
  }

  make(): Promise<Material> {
    return this.custody.make(this.custody.plan(), this.origin())
  }

  origin(): MaterialOrigin {
    return {
      keyId: randomBytes(8).toString('hex'),
      accountId: '111122223333',
      region: 'eu-west-1',
      keySpec: 'SYMMETRIC_DEFAULT',
      keyUsage: 'ENCRYPT_DECRYPT',
      origin: 'AWS_KMS',
      lineage: this.nextLineage(),
      createdAt: Date.now(),
    }
  }

  /** Waits until all hot lanes serve, with a spare and the cold lane beside them. */
  whole(): Promise<void> {
    return until(() => {
      const { state, spare, cold } = this.pool.status()
      return state === 'serving' && spare && cold
    })
  }

  async stop(): Promise<void> {
    this.faults.clear()
    await this.pool.stop()
    this.token.remove()
  }
}

/** Looks every 10 ms until `holds` does; fails after `timeoutMs`. */
export async function until(holds: () => boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${holds.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
