import { expect } from 'chai'
import { newTrail } from '../../src/kms/audit-trail.ts'
import { LastUses } from '../../src/kms/last-uses.ts'
import { ALICE, Rig } from './rig.ts'

describe('LastUses', () => {
  let rig: Rig
  let arn: string
  beforeEach(async () => {
    rig = await new Rig().start()
    arn = (await rig.makeKey()).arn
    await rig.encrypt(arn) // reserves encryptions, so that nothing below writes for that
  })
  afterEach(() => rig.remove())

  it('costs no write on the way of a request, and one for many', async () => {
    const { version } = rig.storage.snapshot
    for (let i = 0; i < 50; i++) await rig.decrypt(await rig.encrypt(arn))
    expect(rig.storage.snapshot.version).to.equal(version)
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.version).to.equal(version + 1)
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.version).to.equal(version + 1)
  })

  it('is there after a flush and a crash, and after an orderly end', async () => {
    const at = rig.clock.now()
    await rig.kms.lastUses.flush()
    rig.clock.pass(1000)
    await rig.decrypt(await rig.encrypt(arn))
    await rig.restart()
    expect(rig.kms.lastUses.of(arn)).to.include({ operation: 'Encrypt', at })
    await rig.decrypt(await rig.encrypt(arn))
    await rig.kms.close()
    await rig.restart()
    expect(rig.kms.lastUses.of(arn)).to.include({ operation: 'Decrypt', at: at + 1000 })
  })

  it('a use while the flush is under way is not lost', async () => {
    const flush = rig.kms.lastUses.flush()
    rig.clock.pass(1000)
    note(rig.kms.lastUses, arn, 'Decrypt')
    await flush
    expect(rig.kms.lastUses.of(arn)?.operation).to.equal('Decrypt')
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.findLastUse(arn)?.operation).to.equal('Decrypt')
  })

  it('of two daemons the later use wins, whoever writes first', async () => {
    const other = new LastUses(rig.storage, rig.clock)
    rig.clock.pass(1000)
    note(other, arn, 'Decrypt')
    await other.flush()
    await rig.kms.lastUses.flush() // the Encrypt of a second ago
    expect(rig.storage.snapshot.findLastUse(arn)?.operation).to.equal('Decrypt')
    expect(rig.kms.lastUses.of(arn)?.operation).to.equal('Decrypt')
  })

  it('FM-F26: a use that was written under a clock ahead does not stand for ever', async () => {
    rig.clock.wall += 1_000_000
    note(rig.kms.lastUses, arn, 'Decrypt')
    await rig.kms.lastUses.flush()
    rig.clock.wall -= 1_000_000
    await rig.encrypt(arn)
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.findLastUse(arn)?.operation).to.equal('Encrypt')
  })

  it('keeps what it could not write', async () => {
    const { change } = rig.storage
    rig.storage.change = () => Promise.reject(new Error('the database is away'))
    const failure = await rig.kms.lastUses.flush().catch((error: Error) => error)
    expect(failure).to.be.instanceOf(Error)
    rig.storage.change = change
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.findLastUse(arn)?.operation).to.equal('Encrypt')
  })

  it('goes on while storage is read-only, and forgets keys that are gone', async () => {
    rig.storage.setReadOnly('older than the token')
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.findLastUse(arn)?.operation).to.equal('Encrypt')
    rig.storage.setReadOnly(undefined)
    note(rig.kms.lastUses, arn, 'Decrypt')
    await rig.storage.change((draft) =>
      draft.buryKey({
        arn,
        accountId: ALICE.accountId,
        region: ALICE.region,
        keyId: arn.slice(-36),
        destroyedAt: 0,
        materialIds: [],
      }),
    )
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.findLastUse(arn)).to.equal(undefined)
    await rig.restart()
    expect(rig.storage.snapshot.findLastUse(arn)).to.equal(undefined)
  })

  it('writes many keys in several transactions', async () => {
    const { version } = rig.storage.snapshot
    const arns = await Promise.all(
      Array.from({ length: 250 }, async () => (await rig.makeKey()).arn),
    )
    const made = rig.storage.snapshot.version
    expect(made).to.be.above(version)
    for (const one of arns) note(rig.kms.lastUses, one, 'Encrypt')
    await rig.kms.lastUses.flush()
    expect(rig.storage.snapshot.version).to.equal(made + 2)
    expect(arns.every((one) => rig.storage.snapshot.findLastUse(one))).to.equal(true)
  })

  function note(uses: LastUses, keyArn: string, operation: 'Encrypt' | 'Decrypt'): void {
    const trail = newTrail()
    trail.resources.push(keyArn)
    const facts = {
      requestId: 'r',
      sourceIp: '',
      secureTransport: true,
      userAgent: '',
      receivedAt: 0,
    }
    uses.note({ operation, caller: ALICE, facts, input: {}, trail })
  }
})
