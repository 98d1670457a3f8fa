import { readFileSync } from 'node:fs'
import { type TlsMaterial, TlsMaterialError } from '../http/tls-material.ts'
import { XksTls } from '../http/xks-tls.ts'
import { ConfigError } from './config-error.ts'
import { codeOf, readPrivateFile } from './private-file.ts'
import type { XksConfig } from './xks-config.ts'

/** Which option names the part of the TLS material that will not do. */
const OPTIONS = {
  CERTIFICATE: 'xks.tls.certFile',
  KEY: 'xks.tls.keyFile',
  CLIENT_CA: 'xks.clientCertificates.caFile',
  CLIENT_CRL: 'xks.clientCertificates.crlFiles',
  SUBJECT_NAMES: 'xks.clientCertificates.subjectNames',
  CLIENT_RULE: 'xks.clientCertificates',
} as const satisfies Record<TlsMaterialError['code'], string>

/** Certificate, key, client CA and revocation lists as they lie in their files now; undefined for plain HTTP. Throws ConfigError. */
export function readXksTls({ tls, clientCertificates }: XksConfig): TlsMaterial | undefined {
  if (!tls) return undefined
  const material = {
    cert: readPublicFile(tls.certFile, OPTIONS.CERTIFICATE),
    key: readPrivateFile(tls.keyFile, OPTIONS.KEY), // AT-K04
  }
  if (!clientCertificates) return material
  const { caFile, crlFiles, subjectNames } = clientCertificates
  const ca = readPublicFile(caFile, OPTIONS.CLIENT_CA)
  const crls = crlFiles.map((file) => readPublicFile(file, OPTIONS.CLIENT_CRL))
  return { ...material, clients: { ca, crls, subjectNames } }
}

/** The TLS of the face. Throws ConfigError naming the file that will not do. */
export function openXksTls(
  config: XksConfig,
  options: ConstructorParameters<typeof XksTls>[1] = {},
): XksTls | undefined {
  const material = readXksTls(config)
  return material && named(() => new XksTls(material, options))
}

/**
 * Reads what `next` names, checks that it can serve in the place of what `running` was started with, and answers what puts it into
 * use. Throws ConfigError, and then nothing has changed (XKS Z-06).
 */
export function prepareXksTls(tls: XksTls, running: XksConfig, next: XksConfig): () => void {
  const material = readXksTls(next)
  if (!material) return () => undefined // plain HTTP holds after a restart only
  if ((material.clients === undefined) !== (running.clientCertificates === undefined))
    throw new ConfigError(OPTIONS.CLIENT_RULE, 'begins or ends to be asked for with a restart only')
  return named(() => tls.prepare(material))
}

function readPublicFile(file: string, option: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError(option, `cannot read ${file} (${codeOf(error)})`, { cause: error })
  }
}

function named<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof TlsMaterialError)) throw error
    throw new ConfigError(OPTIONS[error.code], error.message, { cause: error })
  }
}
