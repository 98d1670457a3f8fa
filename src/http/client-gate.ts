import type { X509Certificate } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import { certificatesIn, findAbove, isCurrent, isIssuedBy, nameIn } from './certificate-path.ts'
import { parseRevocationLists, type RevocationList } from './revocation-list.ts'
import { attempt, type ClientRule, TlsMaterialError } from './tls-material.ts'

/** A client whose handshake succeeded. */
export interface ProvenClient {
  /** Its certificate, and above it what Node tells of the others that it sent. */
  readonly chain: readonly [X509Certificate, ...X509Certificate[]]
  /** Of the subject; undefined when there is none or more than one (AT-H13). */
  readonly commonName: string | undefined
  /** Fingerprints of the CAs that let it in. */
  readonly trusted: ReadonlySet<string>
}

/** Who may connect by the certificates of one moment. What it admits and OpenSSL admits by its `context` is the same. */
export class ClientGate {
  /** Fingerprints of the CAs. */
  readonly trusted: ReadonlySet<string>
  readonly #names: ReadonlySet<string>
  readonly #authorities: readonly X509Certificate[]
  readonly #lists: readonly RevocationList[]
  readonly #listsOf: ReadonlyMap<X509Certificate, readonly RevocationList[]>
  readonly #verdicts = new Map<string, boolean>()

  /** Throws TlsMaterialError. */
  constructor({ ca, subjectNames, crls = [] }: ClientRule) {
    if (subjectNames.length === 0 || subjectNames.includes(''))
      throw new TlsMaterialError('SUBJECT_NAMES', 'names nobody')
    this.#names = new Set(subjectNames)
    this.#authorities = readAuthorities(ca)
    this.trusted = new Set(this.#authorities.map(({ fingerprint256 }) => fingerprint256))
    this.#lists = crls.flatMap((file) =>
      attempt('CLIENT_CRL', 'holds what is no CRL', () => parseRevocationLists(file)),
    )
    this.#listsOf = assignLists(this.#lists, this.#authorities)
  }

  /**
   * For OpenSSL, which checks chain, purpose and revocation. One by one, so that it takes what was checked: of a file without line
   * ends in between it would read the first only.
   */
  get context(): SecureContextOptions {
    return {
      ca: this.#authorities.map((it) => it.toString()),
      ...(this.#lists.length > 0 && { crl: this.#lists.map(({ pem }) => pem) }),
    }
  }

  /** XKS T-10: the name, which OpenSSL leaves to us. */
  names({ commonName }: Pick<ProvenClient, 'commonName'>): boolean {
    return commonName !== undefined && this.#names.has(commonName)
  }

  /** Throws TlsMaterialError when a list is out of date: OpenSSL then refuses every certificate of its CA. */
  assertCurrent(now: number): void {
    for (const list of this.#lists) {
      const trouble = list.findTrouble(now)
      if (trouble !== undefined)
        throw new TlsMaterialError('CLIENT_CRL', `holds a CRL that ${trouble}`)
    }
  }

  /** Whether who was let in by other certificates would be let in by these too. */
  admits(client: ProvenClient, now: number): boolean {
    if (!this.names(client)) return false
    if (!isCurrent(client.chain[0], now)) return false
    return this.#leadsToRoot(client.chain, now) || this.#onlyGrewSince(client.trusted)
  }

  /** Found out once for all connections of a client: a gate is new with each reload. */
  #leadsToRoot(chain: ProvenClient['chain'], now: number): boolean {
    const name = chain.map(({ fingerprint256 }) => fingerprint256).join()
    const found = this.#verdicts.get(name) ?? this.#findRoot(chain, now) !== undefined
    this.#verdicts.set(name, found)
    return found
  }

  /** OpenSSL ends a chain at a CA that has signed itself and is among ours. */
  #findRoot([certificate, ...sent]: ProvenClient['chain'], now: number) {
    return findAbove(
      certificate,
      [...sent, ...this.#authorities],
      (it) => this.trusted.has(it.fingerprint256) && isIssuedBy(it, it),
      (it, issuer) => this.#mayCertify(issuer, now) && !this.#isTakenBack(it, issuer),
    )
  }

  #mayCertify(issuer: X509Certificate, now: number): boolean {
    return isCurrent(issuer, now) && (issuer.ca || this.trusted.has(issuer.fingerprint256))
  }

  #isTakenBack(certificate: X509Certificate, issuer: X509Certificate): boolean {
    if (this.#lists.length === 0) return false
    const lists = this.#authorities
      .filter(({ fingerprint256 }) => fingerprint256 === issuer.fingerprint256)
      .flatMap((authority) => this.#listsOf.get(authority) ?? [])
    return lists.length === 0 || lists.some((list) => list.revokes(certificate))
  }

  /**
   * Node 24.21 does not tell a server which intermediate certificates a client sent (nodejs/node#65579), so a chain may not be
   * there to be followed. What the former CAs have led to, the same and more lead to; a list of revoked ones would have to be one
   * of the missing CA's.
   */
  #onlyGrewSince(former: ReadonlySet<string>): boolean {
    return (
      this.#lists.length === 0 && [...former].every((fingerprint) => this.trusted.has(fingerprint))
    )
  }
}

function readAuthorities(ca: Buffer | string): X509Certificate[] {
  const certificates = attempt('CLIENT_CA', 'holds what is no certificate', () =>
    certificatesIn(ca.toString()),
  )
  if (certificates.length === 0) throw new TlsMaterialError('CLIENT_CA', 'holds no certificate')
  return certificates
}

/** With lists OpenSSL refuses everybody of a CA that has none, and knows nothing to do with one of a CA that is not there. */
function assignLists(
  lists: readonly RevocationList[],
  authorities: readonly X509Certificate[],
): ReadonlyMap<X509Certificate, readonly RevocationList[]> {
  if (lists.length === 0) return new Map()
  for (const list of lists)
    if (!authorities.some((authority) => list.isOf(authority)))
      throw new TlsMaterialError('CLIENT_CRL', 'holds a CRL that none of the client CAs has signed')
  return new Map(
    authorities.map((authority) => {
      const own = lists.filter((list) => list.isOf(authority))
      if (own.length === 0)
        throw new TlsMaterialError('CLIENT_CRL', `holds no CRL of ${nameIn(authority.subject)}`)
      return [authority, own]
    }),
  )
}
