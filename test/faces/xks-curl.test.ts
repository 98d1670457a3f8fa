import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { describeProgram, startDaemonEndpoint, type XksEndpoint } from './xks-endpoint.ts'

const CURL = '/usr/bin/curl'
const ALICE = {
  awsPrincipalArn: 'arn:aws:iam::123456789012:user/Alice',
  kmsKeyArn: 'arn:aws:kms:us-east-2:123456789012:/key/1234abcd-12ab-34cd-56ef-1234567890ab',
  kmsRequestId: '4112f4d6-db54-4af4-ae30-c55a22a8dfae',
}

type Members = Record<string, unknown>

interface CurlAnswer {
  readonly status: number
  readonly contentType: string
  readonly members: Members
}

/** As an administrator tries a proxy out: curl signs by itself, and has the request in a file. */
describeProgram(CURL, 'curl --aws-sigv4 at the XKS face of a daemon', () => {
  let endpoint: XksEndpoint
  let directory: string

  before(async function () {
    this.timeout(30_000)
    endpoint = await startDaemonEndpoint({ tls: true })
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-curl-'))
  })
  after(async () => {
    await endpoint.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  it('XKS L-06: encrypts and decrypts', async () => {
    const plaintext = Buffer.from('Hello World!').toString('base64')
    const encrypted = await curl(`keys/${endpoint.keyId}/encrypt`, {
      requestMetadata: { ...ALICE, kmsOperation: 'GenerateDataKey' },
      plaintext,
      encryptionAlgorithm: 'AES_GCM',
    })
    expect(encrypted).to.include({ status: 200, contentType: 'application/json' })
    const decrypted = await curl(`keys/${endpoint.keyId}/decrypt`, {
      ...encrypted.members,
      requestMetadata: { ...ALICE, kmsOperation: 'Decrypt' },
      encryptionAlgorithm: 'AES_GCM',
    })
    expect(decrypted.members).to.deep.equal({ plaintext })
  })

  it('XKS L-06: asks for health and for metadata', async () => {
    const { kmsRequestId, awsPrincipalArn } = ALICE
    const health = await curl('health', {
      requestMetadata: { kmsOperation: 'KmsHealthCheck', kmsRequestId },
    })
    expect(health.status).to.equal(200)
    expect(health.members).to.have.property('ekmFleetDetails')
    const metadata = await curl(`keys/${endpoint.keyId}/metadata`, {
      requestMetadata: { awsPrincipalArn, kmsOperation: 'CreateKey', kmsRequestId },
    })
    expect(metadata.members).to.include({ keySpec: 'AES_256', keyStatus: 'ENABLED' })
  })

  for (const [what, change] of [
    ['a wrong secret', { secretAccessKey: 'x'.repeat(43) }],
    ['another region', { region: 'us-west-2' }],
    ['another service', { service: 'kms' }],
  ] as const)
    it(`XKS L-06: hears AuthenticationFailedException with ${what}`, async () => {
      const requestMetadata = { kmsOperation: 'KmsHealthCheck', kmsRequestId: 'x' }
      const { status, members } = await curl('health', { requestMetadata }, change)
      expect(status).to.equal(401)
      expect(members).to.have.property('errorName', 'AuthenticationFailedException')
    })

  async function curl(
    path: string,
    body: Members,
    change: { secretAccessKey?: string; region?: string; service?: string } = {},
  ): Promise<CurlAnswer> {
    const { url, uriPathPrefix, credential, ca = '' } = endpoint
    const { secretAccessKey, region = endpoint.region, service = 'kms-xks-proxy' } = change
    const bodyFile = join(directory, 'request.json')
    const caFile = join(directory, 'ca.pem')
    writeFileSync(bodyFile, JSON.stringify(body))
    writeFileSync(caFile, ca)
    const secret = secretAccessKey ?? credential.secretAccessKey
    const { stdout } = await promisify(execFile)(CURL, [
      ...['--silent', '--show-error', '--cacert', caFile],
      ...['--aws-sigv4', `aws:amz:${region}:${service}`],
      ...['--user', `${credential.accessKeyId}:${secret}`],
      ...['-X', 'POST', '-H', 'Content-Type:application/json', '--data', `@${bodyFile}`],
      ...['--write-out', '\n%{response_code} %{content_type}'],
      `${url.origin}${uriPathPrefix}/kms/xks/v1/${path}`,
    ])
    const [text = '', last = ''] = stdout.split('\n')
    const [status = '', contentType = ''] = last.split(' ')
    return { status: Number(status), contentType, members: JSON.parse(text) as Members }
  }
})
