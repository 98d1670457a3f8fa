import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { AuditError, type AuditLog, createAuditLog } from '../../src/audit/audit-log.ts'
import type { AuditOutbox } from '../../src/audit/audit-outbox.ts'
import { type AuditEntry, type AuditLine, newTrail } from '../../src/kms/audit-trail.ts'

const ARN = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'

describe('AuditLog', () => {
  let directory: string
  let log: AuditLog
  let outbox: FakeOutbox
  const clock = { wall: Date.UTC(2026, 10, 22, 23, 59, 0), now: () => clock.wall }
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-audit-'))
    outbox = new FakeOutbox()
    clock.wall = Date.UTC(2026, 10, 22, 23, 59, 0)
    log = await open()
  })
  afterEach(async () => {
    await log.close()
    rmSync(directory, { recursive: true })
  })

  const open = () => createAuditLog({ directory, durability: 'write', clock, outbox })
  const file = (day = '20261122') => join(directory, `audit-${day}.jsonl`)
  const records = (day?: string) =>
    readFileSync(file(day), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))

  it('tells the trail of a request the id of its record', async () => {
    const entry = anEntry()
    await log.record(entry)
    expect(entry.trail.eventId).to.equal(records()[0].eventID)
  })

  it('AT-J12: writes one line of harmless characters, whatever a request says, and letters as they are', async () => {
    const entry = anEntry()
    entry.trail.parameters = { description: '\r\n\u001b[2J\u009b2J\u0085\u2028\u007f' }
    await log.record(entry)
    expect(readFileSync(file(), 'utf8').trimEnd()).to.match(/^[ -~]+$/)
    expect(records()[0].requestParameters).to.deep.equal(entry.trail.parameters)
    const other = anEntry()
    other.trail.parameters = { description: 'Schlüssel' }
    await log.record(other)
    expect(readFileSync(file(), 'utf8')).to.contain('Schlüssel')
  })

  it('ARCH-D14: writes a record in the shape of CloudTrail before it resolves', async () => {
    await log.record(anEntry())
    const [{ eventID, ...record }] = records()
    expect(eventID).to.match(/^[0-9a-f-]{36}$/)
    expect(record).to.deep.equal({
      eventVersion: '1.11',
      userIdentity: {
        type: 'IAMUser',
        principalId: 'AIDAALICE',
        arn: 'arn:aws:iam::111122223333:user/alice',
        accountId: '111122223333',
        accessKeyId: 'AKIAALICE',
        userName: 'alice',
      },
      eventTime: '2026-11-22T23:58:59Z',
      eventSource: 'kms.amazonaws.com',
      eventName: 'Decrypt',
      awsRegion: 'eu-central-1',
      sourceIPAddress: '192.0.2.7',
      userAgent: 'a "quoted"\nagent',
      requestParameters: { encryptionContext: { a: 'b' } },
      responseElements: null,
      additionalEventData: {
        decision: {
          allowed: true,
          by: 'key-policy',
          statement: { index: 0, sid: 's', effect: 'Allow', matchedBy: 'principal' },
        },
      },
      requestID: 'request',
      readOnly: true,
      resources: [{ accountId: '111122223333', type: 'AWS::KMS::Key', ARN }],
      eventType: 'AwsApiCall',
      managementEvent: true,
      recipientAccountId: '111122223333',
      eventCategory: 'Management',
    })
  })

  it('tells keys from aliases', async () => {
    const alias = ARN.replace(/key.*/, 'alias/orders')
    const entry = anEntry()
    await log.record({ ...entry, trail: { ...entry.trail, resources: [alias, ARN] } })
    expect(records()[0].resources).to.deep.equal([
      { accountId: '111122223333', type: 'AWS::KMS::Alias', ARN: alias },
      { accountId: '111122223333', type: 'AWS::KMS::Key', ARN },
    ])
  })

  it('writes refusals with their error, and requests of nobody', async () => {
    const error = { code: 'AccessDeniedException', message: 'no' }
    await log.record({ ...anEntry(), error })
    await log.record({ ...anEntry(), caller: undefined, error: { code: 'X' } })
    expect(records()[0]).to.deep.include({ errorCode: 'AccessDeniedException', errorMessage: 'no' })
    expect(records()[1]).to.deep.include({ errorCode: 'X', userIdentity: { type: 'Unknown' } })
    expect(records()[1]).not.to.have.property('errorMessage')
  })

  it('many at once are whole lines in the order in which they were told', async () => {
    const entries = Array.from({ length: 500 }, (_, i) => ({
      ...anEntry(),
      facts: { ...anEntry().facts, requestId: `${i}` },
    }))
    await Promise.all(entries.map((entry) => log.record(entry)))
    expect(records().map((record) => Number(record.requestID))).to.deep.equal(
      entries.map((_, i) => i),
    )
  })

  it('begins a new file with each day of UTC, mode 0600', async () => {
    await log.record(anEntry())
    clock.wall += 60_000
    await log.record(anEntry())
    expect(readdirSync(directory).sort()).to.deep.equal([
      'audit-20261122.jsonl',
      'audit-20261123.jsonl',
    ])
    expect(records('20261122')).to.have.lengthOf(1)
    expect(records('20261123')).to.have.lengthOf(1)
    for (const name of readdirSync(directory))
      expect(statSync(join(directory, name)).mode & 0o777).to.equal(0o600)
  })

  it('FM-F39: cuts off the half line of a crash, wherever it was cut', async () => {
    await log.record(anEntry())
    await log.record(anEntry())
    await log.close()
    const whole = readFileSync(file())
    const firstLine = whole.indexOf('\n') + 1
    for (const end of [firstLine, firstLine + 1, firstLine + 100, whole.length - 1]) {
      writeFileSync(file(), whole.subarray(0, end))
      log = await open()
      await log.record(anEntry())
      expect(records()).to.have.lengthOf(2)
      expect(readFileSync(file()).subarray(0, firstLine)).to.deep.equal(
        whole.subarray(0, firstLine),
      )
      await log.close()
    }
    appendFileSync(file(), 'x'.repeat(200_000))
    log = await open()
    await log.record(anEntry())
    expect(records()).to.have.lengthOf(3)
  })

  it('fails closed while it cannot write, and goes on afterwards', async () => {
    await log.close()
    rmSync(directory, { recursive: true })
    writeFileSync(directory, 'in the way')
    const error = await log.record(anEntry()).catch((thrown: Error) => thrown)
    expect(error).to.be.instanceOf(AuditError)
    rmSync(directory)
    log = await open()
    await log.record(anEntry())
    expect(records()).to.have.lengthOf(1)
  })

  it('ARCH-D14: the committed record of a change is the one that is written, then leaves the outbox', async () => {
    const entry = aChange()
    outbox.lines.push(log.compose(entry))
    await log.record(entry)
    await log.close()
    expect(records().map((record) => record.eventID)).to.deep.equal(outbox.removed)
    expect(outbox.lines).to.deep.equal([])
  })

  it('ARCH-D14: what a crash kept from the spool is appended at the next start, once', async () => {
    const [written, lost] = [aChange(), aChange()]
    outbox.lines.push(log.compose(written), log.compose(lost))
    outbox.stuck = true
    await log.record(written)
    await log.close()
    outbox.stuck = false
    const expected = outbox.lines.map((line) => line.eventId)
    log = await open()
    expect(records().map((record) => record.eventID)).to.deep.equal(expected)
    expect(outbox.lines).to.deep.equal([])
  })

  it('leaves young records of the outbox to whoever is writing them', async () => {
    outbox.lines.push(log.compose(aChange()))
    await log.deliverOutbox(60_000)
    expect(outbox.lines).to.have.lengthOf(1)
    clock.wall += 60_000
    await log.deliverOutbox(60_000)
    expect(outbox.lines).to.deep.equal([])
  })

  it('records a change that failed as failed, not as it was composed', async () => {
    const entry = aChange()
    log.compose(entry)
    await log.record({ ...entry, error: { code: 'KMSInternalException' } })
    expect(records()[0]).to.include({ errorCode: 'KMSInternalException', responseElements: null })
  })

  it('acts of our own name the service', async () => {
    const service = { accountId: '111122223333', region: 'eu-central-1' }
    const entry = { ...aChange(), caller: undefined, service, operation: 'DeleteKey' }
    await log.deliver(log.compose(entry))
    expect(records()[0]).to.deep.include({
      eventType: 'AwsServiceEvent',
      userIdentity: { accountId: '111122223333', invokedBy: 'hsm-bridge' },
      recipientAccountId: '111122223333',
    })
  })
})

class FakeOutbox implements AuditOutbox {
  readonly lines: AuditLine[] = []
  readonly removed: string[] = []
  stuck = false

  async pending(): Promise<readonly AuditLine[]> {
    return [...this.lines]
  }

  async remove(eventIds: readonly string[]): Promise<void> {
    if (this.stuck) return
    this.removed.push(...eventIds)
    this.lines.splice(0, Infinity, ...this.lines.filter((line) => !eventIds.includes(line.eventId)))
  }
}

function anEntry(): AuditEntry {
  const trail = newTrail()
  trail.readOnly = true
  trail.resources.push(ARN)
  trail.parameters = { encryptionContext: { a: 'b' } }
  trail.decision = {
    allowed: true,
    by: 'key-policy',
    statement: { index: 0, sid: 's', effect: 'Allow', matchedBy: 'principal' },
  }
  return {
    caller: {
      accountId: '111122223333',
      arn: 'arn:aws:iam::111122223333:user/alice',
      userName: 'alice',
      userId: 'AIDAALICE',
      accessKeyId: 'AKIAALICE',
      identityPolicies: [],
      region: 'eu-central-1',
    },
    facts: {
      requestId: 'request',
      sourceIp: '192.0.2.7',
      secureTransport: true,
      userAgent: 'a "quoted"\nagent',
      receivedAt: Date.UTC(2026, 10, 22, 23, 58, 59, 999),
    },
    operation: 'Decrypt',
    trail,
  }
}

function aChange(): AuditEntry {
  const entry = anEntry()
  entry.trail.readOnly = false
  entry.trail.response = { keyId: ARN }
  return { ...entry, operation: 'RotateKeyOnDemand' }
}
