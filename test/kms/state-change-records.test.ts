import { expect } from 'chai'
import { type AuditEntry, type AuditLine, newTrail } from '../../src/kms/audit-trail.ts'
import { ROTATE_ENCRYPTIONS } from '../../src/kms/encryption-budget.ts'
import type { OperationName } from '../../src/kms/operation-names.ts'
import { defaultKeyPolicy } from '../../src/policy/default-key-policy.ts'
import { ACCOUNT, expectKmsError, Rig } from './rig.ts'

/** Composes lines and remembers what it was told. */
class FakeScribe {
  readonly entries: AuditEntry[] = []
  readonly delivered: AuditLine[] = []

  compose(entry: AuditEntry): AuditLine {
    this.entries.push(entry)
    return { eventId: `event-${this.entries.length}`, at: this.entries.length, text: '{}' }
  }

  async deliver(line: AuditLine): Promise<void> {
    this.delivered.push(line)
  }
}

describe('records of state changes', () => {
  let rig: Rig
  let scribe: FakeScribe
  beforeEach(async () => {
    scribe = new FakeScribe()
    rig = await new Rig().start({ scribe })
  })
  afterEach(() => rig.remove())

  it('ARCH-D14: are committed with the change, complete, and told to the trail', async () => {
    const trail = newTrail()
    const { arn } = await rig.makeKey({}, { trail })
    expect(trail.eventId).to.equal('event-1')
    expect(scribe.entries[0]).to.deep.include({ operation: 'CreateKey', trail })
    expect(trail.resources).to.deep.equal([arn])
    await rig.ask('RotateKeyOnDemand', { keyId: arn })
    await rig.ask('ScheduleKeyDeletion', { keyId: arn })
    const ids = (await rig.storage.outbox.pending()).map((line) => line.eventId)
    expect(ids).to.deep.equal(['event-1', 'event-2', 'event-3'])
  })

  it('ARCH-D14: every operation that changes something commits one', async () => {
    const { keyId } = await rig.makeKey()
    const changes: [OperationName, object][] = [
      ['UpdateKeyDescription', { description: 'x' }],
      ['DisableKey', {}],
      ['EnableKey', {}],
      ['CreateAlias', { aliasName: 'alias/a', targetKeyId: keyId }],
      ['UpdateAlias', { aliasName: 'alias/a', targetKeyId: keyId }],
      ['DeleteAlias', { aliasName: 'alias/a' }],
      ['TagResource', { tags: [{ tagKey: 'a', tagValue: 'b' }] }],
      ['UntagResource', { tagKeys: ['a'] }],
      ['PutKeyPolicy', { policy: defaultKeyPolicy(ACCOUNT) }],
      ['ScheduleKeyDeletion', {}],
      ['CancelKeyDeletion', {}],
    ]
    for (const [operation, input] of changes) await rig.ask(operation, { keyId, ...input })
    expect(scribe.entries.slice(1).map(({ operation }) => operation)).to.deep.equal(
      changes.map(([operation]) => operation),
    )
    expect(await rig.storage.outbox.pending()).to.have.lengthOf(changes.length + 1)
    for (const operation of ['ListAliases', 'ListResourceTags', 'GetKeyPolicy'] as const)
      await rig.ask(operation, { keyId })
    expect(scribe.entries).to.have.lengthOf(changes.length + 1)
  })

  it('ARCH-D14: a change that fails leaves none', async () => {
    const { arn } = await rig.makeKey()
    await rig.ask('ScheduleKeyDeletion', { keyId: arn })
    await expectKmsError(rig.ask('ScheduleKeyDeletion', { keyId: arn }), 'KMSInvalidStateException')
    expect(await rig.storage.outbox.pending()).to.have.lengthOf(2)
  })

  it('uses have none', async () => {
    const { arn } = await rig.makeKey()
    await rig.decrypt(await rig.encrypt(arn))
    expect(scribe.entries).to.have.lengthOf(1)
  })

  it('acts of our own are recorded as ours and delivered after the commit', async () => {
    const { arn } = await rig.makeKey()
    const [material] = rig.storage.snapshot.materialsOf(arn)
    if (!material) return expect.fail('no material')
    await rig.storage.change((draft) =>
      draft.putMaterial({ ...material, encryptionsReserved: ROTATE_ENCRYPTIONS }),
    )
    await rig.encrypt(arn)
    await rig.kms.close()
    await rig.ask('ScheduleKeyDeletion', { keyId: arn })
    rig.clock.pass(31 * 24 * 60 * 60 * 1000)
    await rig.kms.heartbeat.accept()
    await rig.kms.deletion.destroyDueKeys()
    const own = scribe.entries.filter((entry) => entry.service)
    expect(own.map((entry) => entry.operation)).to.deep.equal(['RotateKey', 'DeleteKey'])
    expect(own[1]?.trail.resources).to.deep.equal([arn])
    expect(scribe.delivered).to.have.lengthOf(2)
  })
})
