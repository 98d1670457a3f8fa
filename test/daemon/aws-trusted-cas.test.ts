import { expect } from 'chai'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assertTrusted, knownRoots, readTrustedCas } from '../../src/daemon/aws-trusted-cas.ts'
import { TestAuthority } from '../support/certificates.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('the CAs that AWS KMS trusts', () => {
  const directory = temporaryDirectory()
  const file = join(directory, 'list')
  let root: TestAuthority
  let other: TestAuthority
  let middle: TestAuthority

  before(async () => {
    root = await TestAuthority.create('root')
    other = await TestAuthority.create('other')
    middle = await root.subordinate('intermediate')
  })

  const parsed = (...pems: readonly string[]) => pems.map((pem) => new X509Certificate(pem))
  const listOf = (...pems: readonly string[]) =>
    new Set(parsed(...pems).map(({ fingerprint256 }) => fingerprint256))

  it('XKS T-05: come with us, as many as the head of the list says, each once', () => {
    const shipped = join(import.meta.dirname, '../../src/daemon/aws-trusted-cas.txt')
    const lines = readFileSync(shipped, 'utf8').trimEnd().split('\n')
    const rows = lines.filter((line) => !line.startsWith('#'))
    expect(lines).include(`# Count: ${rows.length}`)
    expect(rows.filter((row) => !/^[0-9a-f]{64} \S/.test(row))).deep.equal([])
    expect(readTrustedCas().size).equal(rows.length).equal(130)
  })

  it('XKS T-05: are of those that Node knows, Amazon’s own among them', () => {
    const trusted = readTrustedCas()
    const both = knownRoots().filter(({ fingerprint256 }) => trusted.has(fingerprint256))
    const names = both.map(({ subject }) => /CN=(.*)/.exec(subject)?.[1])
    for (const n of [1, 2, 3, 4]) expect(names).include(`Amazon Root CA ${n}`)
    expect(both.length).greaterThan(40)
  })

  it('are read from AWS’s own file too, and from nothing else', () => {
    const [certificate] = parsed(root.cert)
    const { fingerprint256 = '', fingerprint = '' } = certificate ?? {}
    const block = [
      'Alias name: root',
      'Owner: CN=root',
      'Certificate fingerprints:',
      `\t SHA1: ${fingerprint}`,
      `\t SHA256: ${fingerprint256}`,
      '*'.repeat(86),
    ]
    writeFileSync(file, block.join('\n'))
    expect(readTrustedCas(file)).deep.equal(new Set([fingerprint256]))
    writeFileSync(file, `# a comment\n${fingerprint256.replaceAll(':', '').toLowerCase()} root\n`)
    expect(readTrustedCas(file)).deep.equal(new Set([fingerprint256]))
    for (const text of ['', root.cert, 'f'.repeat(63), `# ${'f'.repeat(64)}`]) {
      writeFileSync(file, text)
      expect(() => readTrustedCas(file)).throw('names no fingerprint')
    }
  })

  interface Case {
    readonly title: string
    /** What the server sends behind its certificate. */
    readonly sent?: () => string[] | Promise<string[]>
    /** The roots that are known here. */
    readonly known?: () => string[]
    readonly issuer?: () => TestAuthority | Promise<TestAuthority>
    readonly listed: () => string[]
    /** What the refusal says; absent where the certificate is trusted. */
    readonly refusal?: string
  }
  const expired = { notAfter: new Date(Date.now() - 1000) }
  const CASES: readonly Case[] = [
    {
      title: 'under a root that is not sent',
      known: () => [other.cert, root.cert],
      listed: () => [root.cert],
    },
    { title: 'under a root that is sent', sent: () => [root.cert], listed: () => [root.cert] },
    {
      title: 'under an intermediate CA',
      issuer: () => middle,
      sent: () => [middle.cert],
      known: () => [root.cert],
      listed: () => [root.cert],
    },
    {
      title: 'under a CA that two roots have signed, of which the second is in the list',
      issuer: () => middle,
      sent: async () => [middle.cert, (await other.certify(middle)).cert],
      known: () => [root.cert, other.cert],
      listed: () => [other.cert],
    },
    {
      title: 'under a root that is not in the list',
      known: () => [root.cert],
      listed: () => [other.cert],
      refusal: 'does not have CN=root, to which',
    },
    {
      title: 'under a root that is neither sent nor known',
      known: () => [other.cert],
      listed: () => [root.cert],
      refusal: 'the certificate of CN=root was not sent and is not known here',
    },
    {
      title: 'without the intermediate CA',
      issuer: () => middle,
      known: () => [root.cert],
      listed: () => [root.cert],
      refusal: 'the certificate of CN=intermediate was not sent',
    },
    {
      title: 'under an intermediate CA that has expired',
      issuer: () => middle,
      sent: async () => [(await root.certify(middle, expired)).cert],
      known: () => [root.cert],
      listed: () => [root.cert],
      refusal: 'CN=root',
    },
    {
      title: 'under a certificate that may certify nobody',
      issuer: () => middle,
      sent: async () => [(await root.certify(middle, { isAuthority: false })).cert],
      known: () => [root.cert],
      listed: () => [root.cert],
      refusal: 'CN=root',
    },
    {
      title: 'under a root of the name of one in the list',
      issuer: () => TestAuthority.create('root'),
      known: () => [root.cert],
      listed: () => [root.cert],
      refusal: 'the certificate of CN=root was not sent',
    },
  ]
  for (const { title, sent, known, issuer, listed, refusal } of CASES)
    it(`XKS T-05: ${refusal === undefined ? 'have' : 'have not'} certified what stands ${title}`, async () => {
      const { cert } = await ((await issuer?.()) ?? root).issue({ namesKey: false })
      const [leaf, ...chain] = parsed(cert, ...((await sent?.()) ?? []))
      if (!leaf) throw new TypeError('no certificate')
      const judge = () =>
        assertTrusted(
          [leaf, ...chain],
          parsed(...(known?.() ?? [])),
          listOf(...listed()),
          Date.now(),
        )
      if (refusal !== undefined) expect(judge).throw(refusal)
      else expect(listOf(...listed()).has(judge().fingerprint256)).equal(true)
    })
})
