import 'reflect-metadata'
import { createPrivateKey, randomBytes } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'

const DAY_MS = 86_400_000
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const PURPOSES = { server: [SERVER_AUTH], client: [CLIENT_AUTH], both: [SERVER_AUTH, CLIENT_AUTH] }

interface Lifetime {
  readonly notBefore?: Date
  readonly notAfter?: Date
}

export interface IssueOptions extends Lifetime {
  /** The common names of the subject, in order. */
  readonly names?: readonly string[]
  /** DNS names, 127.0.0.1 goes without saying. */
  readonly dnsNames?: readonly string[]
  readonly purpose?: keyof typeof PURPOSES | 'any'
  readonly keyType?: 'EC' | 'RSA'
  /** Whether it tells by which key of its CA it is signed; by name it always does. */
  readonly namesKey?: boolean
}

interface CertifyOptions extends Lifetime {
  /** Whether the certificate says that it may certify others. */
  readonly isAuthority?: boolean
}

export interface RevocationOptions {
  /** PEM of what is taken back. */
  readonly revoked?: readonly string[]
  readonly thisUpdate?: Date
  /** Undefined: none is promised. */
  readonly nextUpdate?: Date | undefined
}

/** A certificate with its key, as PEM. */
export interface IssuedCertificate {
  readonly cert: string
  /** PKCS #8. */
  readonly key: string
  /** SEC 1, for EC keys; PKCS #1 for RSA keys. */
  readonly traditionalKey: string
}

/** A CA for one test. Its certificates are valid for a day. */
export class TestAuthority {
  readonly #keys: CryptoKeyPair
  readonly #name: JsonName
  /** PEM. */
  readonly cert: string

  private constructor(keys: CryptoKeyPair, name: JsonName, cert: string) {
    this.#keys = keys
    this.#name = name
    this.cert = cert
  }

  static async create(commonName = 'hsm-bridge test CA'): Promise<TestAuthority> {
    const keys = await makeKeys('EC')
    const name: JsonName = [{ CN: [commonName] }]
    const certificate = await selfSigned(keys, name)
    return new TestAuthority(keys, name, certificate.toString('pem'))
  }

  /** An intermediate CA below this one. */
  async subordinate(commonName: string, options: Lifetime = {}): Promise<TestAuthority> {
    return await this.certify(await TestAuthority.create(commonName), options)
  }

  /** Another CA, with a certificate that this one signed. */
  async certify(other: TestAuthority, options: CertifyOptions = {}): Promise<TestAuthority> {
    const keys = other.#keys
    const name = other.#name
    const certificate = await X509CertificateGenerator.create({
      ...lifetime(options),
      serialNumber: serialNumber(),
      subject: name,
      issuer: this.#name,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: SIGNING,
      extensions: options.isAuthority === false ? [] : await authorityExtensions(keys),
    })
    return new TestAuthority(keys, name, certificate.toString('pem'))
  }

  async issue(options: IssueOptions = {}): Promise<IssuedCertificate> {
    const { names = ['localhost'], dnsNames = ['localhost'] } = options
    const { purpose = 'both', keyType = 'EC', namesKey = true } = options
    const keys = await makeKeys(keyType)
    const certificate = await X509CertificateGenerator.create({
      ...lifetime(options),
      serialNumber: serialNumber(),
      subject: names.map((name) => ({ CN: [name] })),
      issuer: this.#name,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: SIGNING,
      extensions: [
        ...(namesKey ? [await AuthorityKeyIdentifierExtension.create(this.#keys.publicKey)] : []),
        new SubjectAlternativeNameExtension([
          ...dnsNames.map((value) => ({ type: 'dns', value }) as const),
          { type: 'ip', value: '127.0.0.1' },
        ]),
        ...(purpose === 'any' ? [] : [new ExtendedKeyUsageExtension(PURPOSES[purpose])]),
      ],
    })
    return { cert: certificate.toString('pem'), ...(await pemsOf(keys)) }
  }

  /** A CRL, as PEM; for a day unless said otherwise. */
  async revoke(options: RevocationOptions = {}): Promise<string> {
    const { revoked = [] } = options
    const nextUpdate = 'nextUpdate' in options ? options.nextUpdate : lifetime({}).notAfter
    const crl = await X509CrlGenerator.create({
      issuer: this.#name,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: SIGNING,
      thisUpdate: options.thisUpdate ?? lifetime({}).notBefore,
      ...(nextUpdate && { nextUpdate }),
      entries: revoked.map((pem) => ({ serialNumber: new X509Certificate(pem).serialNumber })),
    })
    // RFC 7468 §6 calls it so; the package does not.
    return crl.toString('pem').replaceAll(/(BEGIN|END) CRL/g, '$1 X509 CRL')
  }

  /** A certificate of this CA's key and name once more: the CA renewed. */
  async renewed(): Promise<string> {
    return (await selfSigned(this.#keys, this.#name)).toString('pem')
  }
}

/** What somebody says of himself: no CA has a part in it. */
export async function selfSignedCertificate(commonName: string): Promise<IssuedCertificate> {
  const keys = await makeKeys('EC')
  const purposes = [new ExtendedKeyUsageExtension(PURPOSES.both)]
  const certificate = await selfSigned(keys, [{ CN: [commonName] }], purposes)
  return { cert: certificate.toString('pem'), ...(await pemsOf(keys)) }
}

const SIGNING = { name: 'ECDSA', hash: 'SHA-256' }

async function selfSigned(
  keys: CryptoKeyPair,
  name: JsonName,
  extensions?: Extension[],
): Promise<X509Certificate> {
  return await X509CertificateGenerator.createSelfSigned({
    ...lifetime({}),
    serialNumber: serialNumber(),
    name,
    keys,
    signingAlgorithm: SIGNING,
    extensions: extensions ?? (await authorityExtensions(keys)),
  })
}

async function authorityExtensions(keys: CryptoKeyPair): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
  ]
}

function lifetime({ notBefore, notAfter }: Lifetime): Required<Lifetime> {
  return {
    notBefore: notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: notAfter ?? new Date(Date.now() + DAY_MS),
  }
}

function serialNumber(): string {
  return `4${randomBytes(15).toString('hex').slice(1)}`
}

function makeKeys(keyType: 'EC' | 'RSA'): Promise<CryptoKeyPair> {
  const algorithm =
    keyType === 'EC'
      ? { name: 'ECDSA', namedCurve: 'P-256' }
      : {
          name: 'RSASSA-PKCS1-v1_5',
          hash: 'SHA-256',
          modulusLength: 2048,
          publicExponent: new Uint8Array([1, 0, 1]),
        }
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function pemsOf({ privateKey }: CryptoKeyPair) {
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', privateKey))
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  const traditional = key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs1'
  return {
    key: key.export({ format: 'pem', type: 'pkcs8' }).toString(),
    traditionalKey: key.export({ format: 'pem', type: traditional }).toString(),
  }
}
