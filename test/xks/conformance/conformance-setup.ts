import { Sensitive } from '../../../src/bytes/sensitive.ts'
import type { ConformanceCredential } from '../../../src/xks/conformance/attempt.ts'
import {
  type ConformanceTarget,
  EXAMPLE_CALLER,
} from '../../../src/xks/conformance/conformance-target.ts'
import { TestAuthority } from '../../support/certificates.ts'
import type { ReferenceCredential } from '../../support/reference-sigv4.ts'
import {
  type ReferenceOptions,
  ReferenceXksProxy,
  referenceCredential,
  referenceKey,
} from '../../support/reference-xks-proxy.ts'

const PREFIX = '/stores/one'
const OTHER_PREFIX = '/stores/two'
export const REGION = 'eu-west-1'

/** The same over TLS, for clients with a certificate of the same CA. */
export async function startTlsReference(keyType: 'EC' | 'RSA', options: ReferenceOptions = {}) {
  const [authority, elsewhere] = await Promise.all([
    TestAuthority.create(),
    TestAuthority.create('another CA'),
  ])
  const [server, client, strangerTls] = await Promise.all([
    authority.issue({ keyType, purpose: 'server' }),
    authority.issue({ names: ['client'], purpose: 'client' }),
    elsewhere.issue({ names: ['client'], purpose: 'client' }),
  ])
  const { proxy, target } = await startReference({
    ...options,
    tls: {
      cert: server.cert,
      key: server.key,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: true,
      ...options.tls,
    },
  })
  const tls = { ca: authority.cert, cert: client.cert, key: client.key }
  return { proxy, target: { ...target, tls, strangerTls } }
}

/** A reference proxy with everything that rows ask for. */
export async function startReference(
  options: ReferenceOptions = {},
): Promise<{ proxy: ReferenceXksProxy; target: ConformanceTarget }> {
  const [first, second, other] = [
    referenceCredential(),
    referenceCredential(),
    referenceCredential(),
  ] as const
  const key = referenceKey()
  const keys = new Map([
    ['key', key],
    ['disabled', referenceKey({ enabled: false })],
    ['encrypt-only', referenceKey({ usage: ['ENCRYPT'] })],
    ['decrypt-only', referenceKey({ usage: ['DECRYPT'] })],
  ])
  const proxy = await new ReferenceXksProxy(
    [
      { uriPathPrefix: PREFIX, credentials: [first, second], keys },
      { uriPathPrefix: OTHER_PREFIX, credentials: [other], keys },
    ],
    { region: REGION, ...options },
  ).start()
  const target: ConformanceTarget = {
    url: proxy.url,
    uriPathPrefix: PREFIX,
    region: REGION,
    credential: credentialOf(first),
    secondCredential: credentialOf(second),
    keyId: 'key',
    disabledKeyId: 'disabled',
    encryptOnlyKeyId: 'encrypt-only',
    decryptOnlyKeyId: 'decrypt-only',
    keyBytes: key.bytes,
    otherPrefix: OTHER_PREFIX,
    tls: {},
    ...EXAMPLE_CALLER,
    latestMs: 2_000, // machines of tests are noisy
    idleMs: 200,
  }
  return { proxy, target }
}

function credentialOf({
  accessKeyId,
  secretAccessKey,
}: ReferenceCredential): ConformanceCredential {
  return { accessKeyId, secretAccessKey: new Sensitive(secretAccessKey) }
}
