import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { findAbove, isCurrent, isIssuedBy, nameIn } from '../http/certificate-path.ts'

/** The list that comes with hsm-bridge: AWS's, in a form of our own. */
const OWN_LIST = join(import.meta.dirname, 'aws-trusted-cas.txt')

const OWN_ROW = /^([0-9a-f]{64})\b/gim
/** As AWS publishes it: what Java's keytool prints of a trust store. */
const AWS_ROW = /^\s*SHA256:\s*((?:[0-9a-f]{2}:){31}[0-9a-f]{2})\s*$/gim

/** SHA-256 fingerprints as Node writes them. */
export type TrustedCas = ReadonlySet<string>

/** The CAs that a list names, the one that comes with us unless a file is given. Throws Error for what is no list. */
export function readTrustedCas(file = OWN_LIST): TrustedCas {
  const text = readFileSync(file, 'utf8')
  const fingerprints = [OWN_ROW, AWS_ROW].flatMap((row) =>
    [...text.matchAll(row)].map(([, hex = '']) => fingerprintOf(hex)),
  )
  if (fingerprints.length === 0) throw new Error(`${file} names no fingerprint of a CA`)
  return new Set(fingerprints)
}

function fingerprintOf(hex: string): string {
  return (hex.replaceAll(':', '').toUpperCase().match(/../g) ?? []).join(':')
}

/** What a server does not send and AWS has all the same; those of Node alone, as it takes longer to read the system's. */
export function knownRoots(): X509Certificate[] {
  return rootCertificates.map((pem) => new X509Certificate(pem))
}

/**
 * XKS T-05: the certificate must lead up to a CA of the list. The fingerprints are those of roots, which servers do not send; so
 * every way up is gone, over what was sent and what is known here. Throws Error saying where the way ends.
 */
export function assertTrusted(
  [certificate, ...sent]: readonly [X509Certificate, ...X509Certificate[]],
  known: readonly X509Certificate[],
  trusted: TrustedCas,
  now: number,
): X509Certificate {
  const others = [...sent, ...known]
  const isTrusted = (it: X509Certificate) => trusted.has(it.fingerprint256)
  const found = findAbove(
    certificate,
    others,
    isTrusted,
    (_, issuer) => isTrusted(issuer) || (issuer.ca && isCurrent(issuer, now)),
  )
  if (found) return found
  const isLast = (it: X509Certificate) =>
    !others.some((other) => other.fingerprint256 !== it.fingerprint256 && isIssuedBy(it, other))
  const last = findAbove(certificate, others, isLast) ?? certificate
  throw new Error(`the list of ${trusted.size} CAs ${whyNot(last)}`)
}

function whyNot(last: X509Certificate): string {
  return isIssuedBy(last, last)
    ? `does not have ${nameIn(last.subject)}, to which the certificate leads up`
    : `has fingerprints only, and the certificate of ${nameIn(last.issuer)} was not sent and is not known here`
}
