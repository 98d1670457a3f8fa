import { X509Certificate } from 'node:crypto'

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** Whether the step from a certificate to one that issued it may be taken. */
type MayStep = (certificate: X509Certificate, issuer: X509Certificate) => boolean

/** PEM, one or more. Throws Error for what is no certificate. */
export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(CERTIFICATES) ?? []).map((it) => new X509Certificate(it))
}

/** A subject or issuer on one line. */
export function nameIn(lines: string): string {
  return lines.replaceAll('\n', ', ')
}

/** The certificate, and above it what came with it. */
export function presentedChain(
  certificate: X509Certificate,
): [X509Certificate, ...X509Certificate[]] {
  const { issuerCertificate: next } = certificate
  return next ? [certificate, ...presentedChain(next)] : [certificate]
}

/**
 * The first certificate at or above `from` that is a goal; every step up is to one of `others` that signed the one below. CAs sign
 * each other, so that there may be several ways up: all are gone, no certificate is visited twice.
 */
export function findAbove(
  from: X509Certificate,
  others: readonly X509Certificate[],
  isGoal: (certificate: X509Certificate) => boolean,
  mayStep: MayStep = () => true,
): X509Certificate | undefined {
  const visited = new Set([from.fingerprint256])
  const reached = [from]
  for (const certificate of reached) {
    if (isGoal(certificate)) return certificate
    for (const other of others) {
      if (visited.has(other.fingerprint256)) continue
      if (!isIssuedBy(certificate, other) || !mayStep(certificate, other)) continue
      visited.add(other.fingerprint256)
      reached.push(other)
    }
  }
  return undefined
}

export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

/** By its dates. */
export function isCurrent({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo)
}
