import { isAbsolute } from 'node:path'
import * as z from 'zod'
import type { ReplayMode } from '../http/replay-watch.ts'
import { kmsSubjectName } from '../http/xks-tls.ts'
import { isUriPathPrefix } from '../xks/uri-path.ts'
import { isLoopback, type ListenAddress, parseListenAddress } from './listen-address.ts'

/** A unix socket in the place of a TCP address. */
export interface SocketAddress {
  readonly path: string
}

/** The section `xks` with every default filled in. */
export interface XksConfig {
  readonly listen: ListenAddress | SocketAddress
  /** Undefined: plain HTTP, for a proxy on this machine that speaks TLS in front. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  /** Undefined: clients need no certificate. */
  readonly clientCertificates:
    | {
        readonly caFile: string
        /** Revocation lists of those CAs: of all of them, or none. */
        readonly crlFiles: readonly string[]
        readonly subjectNames: readonly string[]
      }
    | undefined
  readonly keepAliveSeconds: number
  /** What GetHealthStatus says of the size of the fleet (XKS H-06). */
  readonly proxyFleetSize: number
  /** What becomes of a signed request that is repeated (AT-S24). */
  readonly replays: ReplayMode
  readonly stores: readonly DeclaredStore[]
}

/** An external key store that the file declares. */
export interface DeclaredStore {
  readonly name: string
  readonly uriPathPrefix: string
  readonly regions: readonly string[]
  readonly requestsPerSecond: number | undefined
  readonly policyFile: string | undefined
  readonly enabled: boolean
}

/** A store's name stands in the resource of a policy and before the slash in `store/key`. */
export const STORE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

const LONGEST_SOCKET_PATH = 107

export const storeName = z
  .string()
  .regex(STORE_NAME, 'must be 1 to 64 letters, digits, - and _, and begin with a letter or a digit')

/** XKS U-02 */
export const uriPathPrefix = z
  .string()
  .refine(isUriPathPrefix, 'must be empty, or up to 117 characters such as /tenant/one')

export const region = z
  .string()
  .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'must be a region, such as us-east-1')

export const requestsPerSecond = z.number().positive()

const absolutePath = z.string().refine(isAbsolute, 'must be an absolute path')

const listen = z.string().transform((text, context): XksConfig['listen'] => {
  const path = text.startsWith('unix:') ? text.slice('unix:'.length) : undefined
  const fits = path !== undefined && isAbsolute(path) && path.length <= LONGEST_SOCKET_PATH
  const address = path === undefined ? parseListenAddress(text) : fits ? { path } : undefined
  if (address) return address
  context.addIssue({
    code: 'custom',
    message: 'must be host:port, such as 127.0.0.1:4600, or unix: and an absolute path',
  })
  return z.NEVER
})

const clientCertificates = z
  .strictObject({
    caFile: absolutePath,
    crlFiles: z.array(absolutePath).default([]),
    subjectNames: z.array(z.string().min(1).max(256)).default([]),
    kmsRegions: z.array(region).default([]),
  })
  .refine((it) => it.subjectNames.length + it.kmsRegions.length > 0, {
    message: 'needs subjectNames or kmsRegions: a CA alone admits everybody it ever certified', // XKS T-09
  })
  .transform(({ caFile, crlFiles, subjectNames, kmsRegions }) => ({
    caFile,
    crlFiles,
    subjectNames: [...subjectNames, ...kmsRegions.map(kmsSubjectName)],
  }))

/** What a store says of itself wherever it is declared; its policy is a file here and a text in a seed. */
export const STORE_MEMBERS = {
  name: storeName,
  uriPathPrefix: uriPathPrefix.default(''),
  regions: z.array(region).default([]),
  requestsPerSecond: requestsPerSecond.optional(),
  enabled: z.boolean().default(true),
}

const store = z.strictObject({ ...STORE_MEMBERS, policyFile: absolutePath.optional() })

export const XKS_SCHEMA = z
  .strictObject({
    listen: listen.default({ host: '127.0.0.1', port: 4600 }),
    tls: z.strictObject({ certFile: absolutePath, keyFile: absolutePath }).optional(),
    plainHttp: z.boolean().default(false),
    clientCertificates: clientCertificates.optional(),
    keepAliveSeconds: z.number().int().min(1).max(3600).default(370),
    proxyFleetSize: z.number().int().min(1).max(1_000_000).default(1),
    replays: z.enum(['count', 'reject']).default('count'),
    stores: z.array(store).superRefine(assertDistinct).default([]),
  })
  .superRefine((it, context) => {
    const complain = (option: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [option], message })
    if (it.tls && it.plainHttp) complain('plainHttp', 'takes tls or plainHttp, not both')
    if (!it.tls && !it.plainHttp)
      complain('tls', 'is required: AWS KMS speaks HTTPS only; or plainHttp with TLS in front')
    // XKS T-04
    if (it.plainHttp && !('path' in it.listen) && !isLoopback(it.listen))
      complain('plainHttp', 'is for a loopback address or a unix socket')
    if (it.clientCertificates && !it.tls) complain('clientCertificates', 'needs tls')
  })

function assertDistinct(
  stores: readonly z.output<typeof store>[],
  context: z.core.$RefinementCtx,
): void {
  for (const option of ['name', 'uriPathPrefix'] as const)
    for (const [index, declared] of stores.entries())
      if (stores.findIndex((other) => other[option] === declared[option]) < index)
        context.addIssue({
          code: 'custom',
          path: [index, option],
          message: `'${declared[option]}' is another store's already`, // XKS U-10
        })
}

/** What was written, as the daemon takes it. */
export function resolveXks(written: z.output<typeof XKS_SCHEMA>): XksConfig {
  const { listen: address, tls, clientCertificates: clients, keepAliveSeconds } = written
  return {
    listen: address,
    tls,
    clientCertificates: clients,
    keepAliveSeconds,
    proxyFleetSize: written.proxyFleetSize,
    replays: written.replays,
    stores: written.stores.map((declared) => ({
      ...declared,
      requestsPerSecond: declared.requestsPerSecond,
      policyFile: declared.policyFile,
    })),
  }
}
