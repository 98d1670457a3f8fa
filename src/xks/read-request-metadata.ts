import { findText, invalid, isMembers, type Members, textOf } from './json-body.ts'
import type { XksOperation, XksTrail } from './proxy.ts'
import type { RequestMetadata } from './request-metadata.ts'

type Field = keyof RequestMetadata

const COMMON = ['kmsOperation', 'kmsRequestId'] as const
const SOURCE = ['awsSourceVpc', 'awsSourceVpce'] as const

/** Which fields AWS KMS sends with which operation (XKS 1.4); kmsKeyArn was optional in GetKeyMetadata, and some still send it. */
const FIELDS: Readonly<
  Record<XksOperation, { readonly required: readonly Field[]; readonly optional: readonly Field[] }>
> = {
  GetKeyMetadata: {
    required: ['awsPrincipalArn', ...COMMON],
    optional: ['kmsKeyArn', ...SOURCE],
  },
  Encrypt: {
    required: ['awsPrincipalArn', 'kmsKeyArn', ...COMMON],
    optional: ['kmsViaService', ...SOURCE],
  },
  Decrypt: {
    required: ['awsPrincipalArn', 'kmsKeyArn', ...COMMON],
    optional: ['kmsViaService', ...SOURCE],
  },
  GetHealthStatus: { required: COMMON, optional: [] }, // XKS H-13
}

/** Twice what an ARN may have (XKS M-02): enough for whatever will come, and not enough to flood the journal. */
const MAX_CHARACTERS = 4096

/**
 * The metadata of a request. Whatever of it is text stands in the trail also when something else is missing (XKS M-06).
 * Nothing is asked of the values but that they are there (XKS M-01, XKS M-04, XKS M-05, XKS M-08, XKS M-09): an empty one will do.
 */
export function readRequestMetadata(
  operation: XksOperation,
  body: Members,
  trail: XksTrail,
): RequestMetadata {
  const members = body['requestMetadata']
  if (!isMembers(members)) throw invalid('requestMetadata is required and must be an object.')
  const metadata = {
    awsPrincipalArn: findReadable(members, 'awsPrincipalArn'),
    kmsKeyArn: findReadable(members, 'kmsKeyArn'),
    kmsOperation: findReadable(members, 'kmsOperation') ?? '',
    kmsRequestId: findReadable(members, 'kmsRequestId') ?? '',
    awsSourceVpc: findReadable(members, 'awsSourceVpc'),
    awsSourceVpce: findReadable(members, 'awsSourceVpce'),
    kmsViaService: findReadable(members, 'kmsViaService'),
  }
  trail.requestMetadata = metadata
  const { required, optional } = FIELDS[operation]
  for (const name of required) assertReadable(name, textOf(members, name))
  for (const name of optional) assertReadable(name, findText(members, name))
  return metadata
}

function findReadable(members: Members, name: Field): string | undefined {
  const value = members[name]
  return typeof value === 'string' && isReadable(value) ? value : undefined
}

function assertReadable(name: Field, value: string | undefined): void {
  if (value !== undefined && !isReadable(value))
    throw invalid(`${name} must be Unicode of at most ${MAX_CHARACTERS} characters.`)
}

/** AT-J05: a lone surrogate has no bytes to write down. */
function isReadable(value: string): boolean {
  return value.length <= MAX_CHARACTERS && value.isWellFormed()
}
