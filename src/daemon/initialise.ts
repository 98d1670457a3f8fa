import { existsSync } from 'node:fs'
import type { TokenAnchors } from '../token/lane-protocol.ts'
import { findAnchors, findAnchorsInToken, keepAnchors } from './anchors.ts'
import {
  type AccessKey,
  drawAccessKey,
  findAwsCredentials,
  writeAwsConfig,
  writeAwsCredentials,
} from './aws-profile.ts'
import { ConfigError } from './config-error.ts'
import type { Patience } from './configured-storage.ts'
import { makeEmbeddedToken } from './embedded-token.ts'
import { makeHostSeal } from './host-seal.ts'
import { Installation, type Surroundings } from './installation.ts'
import { formatEndpoint } from './listen-address.ts'
import { ADMINISTRATOR_POLICY, putPrincipal } from './principal.ts'
import { makePrivateDirectory } from './private-file.ts'
import type { TokenConnection } from './token-connection.ts'

/** What there is after `init`, and what of it was made just now. */
export interface InitReport {
  readonly stateDirectory: string
  readonly accountId: string
  readonly region: string
  readonly endpoint: string
  readonly tokenSerial: string
  readonly modulePath: string
  readonly embedded: boolean
  readonly awsCredentials: string
  readonly awsConfig: string
  readonly made: readonly string[]
}

export const ADMINISTRATOR = 'administrator'

/**
 * Makes whatever is missing: state directory, token (the embedded one only), storage, canary and record key, the owner record,
 * an administrator with AWS profile files. Repeating it changes nothing. Throws ConfigError when the token is another
 * database's (FM-F33).
 */
export async function initialise(around: Surroundings, patience?: Patience): Promise<InitReport> {
  const { config, env } = around
  const made: string[] = []
  makePrivateDirectory(config.state.path, 'stateDirectory')
  const prepare = async () => {
    makeHostSeal(config.state.hostKey, env)
    if (!config.databaseUrl && !existsSync(config.databasePath)) made.push('database')
    if (config.token.embedded && (await makeEmbeddedToken(config, env))) made.push('token')
  }
  const installation = await Installation.open(around, 'hsm-bridge init', { prepare, patience })
  try {
    await installation.storage.withTokenWriteLock(async () => {
      if (await makeAnchors(installation)) made.push('canary')
      if (await claimToken(installation)) made.push('owner record')
    })
    if (await makeAdministrator(installation)) made.push('administrator')
    const endpoint = formatEndpoint(config.kms.listen, config.kms.tls ? 'https' : 'http')
    writeAwsConfig(config.state.awsConfig, config.region, endpoint)
    const { serial, modulePath } = await installation.connection()
    return {
      stateDirectory: config.state.path,
      accountId: config.accountId,
      region: config.region,
      endpoint,
      tokenSerial: serial,
      modulePath,
      embedded: config.token.embedded,
      awsCredentials: config.state.awsCredentials,
      awsConfig: config.state.awsConfig,
      made,
    }
  } finally {
    await installation.close()
  }
}

/** ARCH-D10: the canary is made here, by an operator's word, and never silently in somebody's partition. */
async function makeAnchors(installation: Installation): Promise<boolean> {
  const { storage } = installation
  const { serial } = await installation.connection()
  if (findAnchors(storage, serial)) return false
  const connect = () => installation.newConnection()
  const found = await findAnchorsInToken(connect)
  const owner = found?.list.owner
  if (owner && owner.instanceId !== storage.snapshot.instanceId) {
    throw tokenIsTaken(serial, owner.instanceId)
  }
  await keepAnchors(storage, serial, found?.anchors ?? (await newAnchors(connect)))
  return found === undefined
}

async function newAnchors(connect: () => Promise<TokenConnection>): Promise<TokenAnchors> {
  const { pool, custody } = await connect()
  try {
    await pool.start(undefined)
    return await custody.makeAnchors()
  } finally {
    await pool.stop()
  }
}

async function claimToken(installation: Installation): Promise<boolean> {
  const { instanceId, lineage } = installation.storage.snapshot
  const { serial, custody } = await installation.token()
  const owner = await custody.findOwner()
  if (owner?.instanceId === instanceId) return false
  if (owner) throw tokenIsTaken(serial, owner.instanceId)
  await custody.claimOwnership({ instanceId, lineage })
  return true
}

/** FM-F33: two databases on one token would each take the other's keys for leftovers. */
function tokenIsTaken(serial: string, instanceId: string): ConfigError {
  return new ConfigError(
    'token',
    `the token ${serial} belongs to the database of instance ${instanceId}; restore that database, or run: hsm-bridge rebuild`,
  )
}

/** The first user, with every permission of its account. Its secret goes into a 0600 file and nowhere else. */
export async function makeAdministrator(installation: Installation): Promise<boolean> {
  const { config, storage } = installation
  if (!storage.snapshot.allPrincipals()[Symbol.iterator]().next().done) return false
  const accessKey: AccessKey = findAwsCredentials(config.state) ?? drawAccessKey()
  await putPrincipal(installation, {
    accountId: config.accountId,
    userName: ADMINISTRATOR,
    accessKey,
    policies: [ADMINISTRATOR_POLICY],
  })
  writeAwsCredentials(config.state.awsCredentials, accessKey)
  return true
}
