import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { AuditError, type AuditLog, createAuditLog } from '../../src/audit/audit-log.ts'
import type { RequestMetadata } from '../../src/xks/request-metadata.ts'
import { newXksTrail, type XksEntry } from '../../src/xks/xks-journal.ts'

const METADATA: RequestMetadata = {
  awsPrincipalArn: 'arn:aws:iam::123456789012:user/Alice',
  kmsKeyArn: 'arn:aws:kms:us-east-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab',
  kmsOperation: 'Encrypt',
  kmsRequestId: '4112f4d6-db54-4af4-ae30-c55a22a8dfae',
  awsSourceVpc: 'vpc-1234567890abcdefg',
  awsSourceVpce: undefined,
  kmsViaService: 'ebs.us-east-2.amazonaws.com',
}

describe('audit records of external key stores', () => {
  let directory: string
  let log: AuditLog
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-audit-'))
    const clock = { now: () => Date.UTC(2026, 10, 22, 12) }
    log = await createAuditLog({ directory, durability: 'write', clock })
  })
  afterEach(async () => {
    await log.close()
    rmSync(directory, { recursive: true, force: true })
  })

  const text = () => readFileSync(join(directory, 'audit-20261122.jsonl'), 'utf8')
  const records = () =>
    text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))

  it('XKS L-01, XKS L-02, XKS L-03, XKS L-04: have the shape of CloudTrail', async () => {
    await log.xks.record(anEntry())
    const [{ eventID, ...record }] = records()
    expect(eventID).to.match(/^[0-9a-f-]{36}$/)
    const { awsSourceVpce: _, ...requestMetadata } = METADATA
    expect(record).to.deep.equal({
      eventVersion: '1.11',
      userIdentity: {
        type: 'AWSService',
        invokedBy: 'kms.amazonaws.com',
        accessKeyId: 'BETXFSBKJYXK3NFWVNVOWXY5',
      },
      eventTime: '2026-11-22T11:59:59Z',
      eventSource: 'xks-proxy',
      eventName: 'Encrypt',
      awsRegion: 'us-east-2',
      sourceIPAddress: '192.0.2.7',
      userAgent: 'agent',
      requestParameters: { storeName: 'orders', externalKeyId: 'key-1', requestMetadata },
      responseElements: null,
      additionalEventData: {
        keyMaterialId: 'ab'.repeat(32),
        tokenSerial: 'serial',
        decision: 'allowed: statement 1',
        processingMicroseconds: 812,
      },
      requestID: 'request',
      readOnly: true,
      resources: [],
      eventType: 'AwsApiCall',
      managementEvent: true,
      eventCategory: 'Management',
    })
  })

  it('XKS M-06: have the request id of KMS also when the request failed', async () => {
    const error = { code: 'AccessDeniedException', message: 'not you' }
    await log.xks.record({ ...anEntry(), error })
    const [record] = records()
    expect(record).to.include({ errorCode: 'AccessDeniedException', errorMessage: 'not you' })
    expect(record.requestParameters.requestMetadata.kmsRequestId).to.equal(METADATA.kmsRequestId)
  })

  it('say what is known of a request that failed early', async () => {
    const entry = { ...anEntry(), trail: newXksTrail(), externalKeyId: undefined }
    await log.xks.record({ ...entry, error: { code: 'ValidationException', message: 'm' } })
    expect(records()[0].requestParameters).to.deep.equal({ storeName: 'orders' })
    expect(records()[0].additionalEventData).to.deep.equal({ processingMicroseconds: 812 })
  })

  it('AT-J12: are one line of harmless characters, whatever the ids say', async () => {
    const kmsRequestId = '\r\n{"eventName":"Forged"}\u001b[2J\u009b2J\u0085\u2028\u007f%s"\\'
    const entry = anEntry()
    entry.trail.requestMetadata = { ...METADATA, kmsRequestId }
    await log.xks.record(entry)
    expect(records()).to.have.lengthOf(1)
    expect(records()[0].requestParameters.requestMetadata.kmsRequestId).to.equal(kmsRequestId)
    expect(text().trimEnd()).to.match(/^[ -~]+$/)
  })

  it('XKS M-05: keep the first 4,096 characters of a long one', async () => {
    const entry = anEntry()
    entry.trail.requestMetadata = { ...METADATA, kmsOperation: 'x'.repeat(200_000) }
    await log.xks.record(entry)
    expect(records()[0].requestParameters.requestMetadata.kmsOperation).to.have.lengthOf(4096)
  })

  it('lie in the same file as all others, in order', async () => {
    const entries = Array.from({ length: 100 }, (_, i) => ({
      ...anEntry(),
      facts: { ...anEntry().facts, requestId: `${i}` },
    }))
    await Promise.all(entries.map((entry) => log.xks.record(entry)))
    expect(records().map((record) => Number(record.requestID))).to.deep.equal(
      entries.map((_, i) => i),
    )
    expect(readdirSync(directory)).to.have.lengthOf(1)
  })

  it('ARCH-D14: fail the request when they cannot be written', async () => {
    await log.close()
    rmSync(directory, { recursive: true })
    const error = await log.xks.record(anEntry()).catch((thrown: unknown) => thrown)
    expect(error).to.be.instanceOf(AuditError)
  })
})

function anEntry(): XksEntry {
  const trail = newXksTrail()
  trail.requestMetadata = METADATA
  trail.materialId = 'ab'.repeat(32)
  trail.tokenSerial = 'serial'
  trail.decision = 'allowed: statement 1'
  return {
    operation: 'Encrypt',
    storeName: 'orders',
    externalKeyId: 'key-1',
    region: 'us-east-2',
    accessKeyId: 'BETXFSBKJYXK3NFWVNVOWXY5',
    facts: {
      requestId: 'request',
      sourceIp: '192.0.2.7',
      userAgent: 'agent',
      receivedAt: Date.UTC(2026, 10, 22, 11, 59, 59, 999),
    },
    trail,
    processingMicroseconds: 812,
  }
}
