import { isAbsolute } from 'node:path'
import * as z from 'zod'
import { Sensitive } from '../bytes/sensitive.ts'
import { type QuotaName, REQUESTS_PER_SECOND } from '../kms/request-quotas.ts'
import { parseListenAddress } from './listen-address.ts'
import { region, XKS_SCHEMA } from './xks-config.ts'

/** The configuration file as it is written. What each option means, its default and its danger: config.example.yaml. */

const path = z.string().min(1)
const absolutePath = path.refine(isAbsolute, 'must be an absolute path') // AT-K05: never looked for in a search path

const listen = z.string().transform((text, context) => {
  const address = parseListenAddress(text)
  if (address) return address
  context.addIssue({ code: 'custom', message: 'must be host:port, such as 127.0.0.1:4599' })
  return z.NEVER
})

export const accountId = z
  .string('must be 12 digits in quotes (YAML reads bare digits as a number)')
  .regex(/^\d{12}$/, 'must be 12 digits')

const PIN_SOURCES = ['pinFile', 'pinCommand', 'pinCredential'] as const

/** A PostgreSQL database, as libpq writes it. */
const databaseUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, 'must begin with postgresql://')
  .refine((text) => URL.canParse(text), 'must be a URL')
  .transform((text) => new Sensitive(text)) // it may hold a password

const token = z
  .strictObject({
    profile: z.string().min(1),
    modulePath: absolutePath.optional(),
    serial: z.string().min(1).optional(),
    label: z.string().min(1).optional(),
    pinFile: absolutePath.optional(),
    pinCommand: z.tuple([absolutePath], z.string()).optional(),
    pinCredential: z.string().min(1).optional(),
    libraryParameters: z.string().optional(),
    environment: z.record(z.string().regex(/^[A-Z_][A-Z0-9_]*$/), z.string()).optional(),
  })
  .refine((it) => (it.serial === undefined) !== (it.label === undefined), {
    message: 'needs exactly one of serial and label',
  })
  .refine((it) => PIN_SOURCES.filter((name) => it[name] !== undefined).length === 1, {
    message: `needs exactly one of ${PIN_SOURCES.join(', ')}`,
  })

const requestQuotas = z.strictObject({
  enforce: z.boolean().default(true),
  burstSeconds: z.number().min(1).max(3600).default(60),
  perSecond: z
    .partialRecord(z.enum(Object.keys(REQUESTS_PER_SECOND) as QuotaName[]), z.number().positive())
    .default({}),
})

const resourceQuotas = z.strictObject({
  keys: z.number().int().min(1).optional(),
  aliasesPerKey: z.number().int().min(1).optional(),
  tagsPerKey: z.number().int().min(1).optional(),
})

export const CONFIG_SCHEMA = z.strictObject({
  stateDirectory: absolutePath.optional(),
  region: region.default('us-east-1'),
  account: accountId.default('123456789012'),
  kms: z
    .strictObject({
      listen: listen.default({ host: '127.0.0.1', port: 4599 }),
      tls: z.strictObject({ certFile: absolutePath, keyFile: absolutePath }).optional(),
    })
    .prefault({}),
  xks: XKS_SCHEMA.optional(),
  ops: z.strictObject({ listen: listen.default({ host: '127.0.0.1', port: 4601 }) }).prefault({}),
  token: token.optional(),
  lanes: z.strictObject({ hot: z.number().int().min(1).max(32).optional() }).prefault({}),
  storage: z
    .strictObject({ path: absolutePath.optional(), url: databaseUrl.optional() })
    .refine((it) => it.path === undefined || it.url === undefined, {
      message: 'takes path or url, not both',
    })
    .prefault({}),
  audit: z
    .strictObject({
      directory: absolutePath.optional(),
      durability: z.enum(['write', 'fsync']).default('write'),
    })
    .prefault({}),
  quotas: z
    .strictObject({ requests: requestQuotas.prefault({}), resources: resourceQuotas.prefault({}) })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
      file: absolutePath.optional(),
    })
    .prefault({}),
  seed: absolutePath.optional(),
})

export type ConfigFile = z.output<typeof CONFIG_SCHEMA>
