import { setTimeout as pause } from 'node:timers/promises'
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely'
import pg from 'pg'
import type { Tables } from './tables.ts'

/** A daemon that stops in the middle of a transaction holds up the others for no longer than this. */
const IDLE_IN_TRANSACTION_MS = 2_000
/** Longer than that, so that whoever waits for such a daemon gets its turn. */
const LOCK_WAIT_MS = 4_000
const ANSWER_MS = 5_000
const CONNECT_MS = 2_000
const CLOSE_MS = 2_000
const MOST_CONNECTIONS = 5
const INT8 = 20

/** Classes of SQLSTATE by which the server says that it cannot serve now: connection, resources, operator. */
const AWAY_CLASSES = ['08', '53', '57']
const AWAY_CODES = ['25P03', '55P03'] // its timeouts for a silent client and for a lock

/** The database cannot be reached, or does not answer in time. Whether the last statement was carried out is unknown. */
export class DatabaseAway extends Error {
  constructor(cause: unknown) {
    super(`the database does not answer: ${reasonOf(cause)}`, { cause })
    this.name = 'DatabaseAway'
  }
}

/** Connections to one PostgreSQL database. */
export class PostgresConnections {
  readonly db: Kysely<Tables>
  /** Host, port and database, without any secret. */
  readonly name: string
  /** As an operator would write it for PostgreSQL's own tools, without the password. */
  readonly url: string
  readonly #config: pg.ClientConfig

  constructor(url: string) {
    this.#config = {
      connectionString: url,
      application_name: 'hsm-bridge',
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      types: { getTypeParser: numbersForInt8 },
    }
    this.name = databaseName(url)
    this.url = withoutPassword(url)
    this.db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: this.#pool() }) })
  }

  /** A connection of its own, for locks and notifications, that the server ends after so much silence. The caller ends it. */
  async connect(silenceMs: number): Promise<pg.Client> {
    const client = new pg.Client(this.#config)
    client.on('error', () => undefined) // whoever uses it hears of it with the next statement, or by 'end'
    try {
      await client.connect()
      await client.query(`set idle_session_timeout = ${silenceMs}`)
      return client
    } catch (error) {
      void client.end().catch(() => undefined)
      throw new DatabaseAway(error)
    }
  }

  /** Says goodbye to the server, which may not be listening any more. */
  async close(): Promise<void> {
    await Promise.race([this.db.destroy(), pause(CLOSE_MS, undefined, { ref: false })])
  }

  #pool(): PostgresPool {
    const pool = new pg.Pool({
      ...this.#config,
      max: MOST_CONNECTIONS,
      idleTimeoutMillis: 0,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      lock_timeout: LOCK_WAIT_MS,
      query_timeout: ANSWER_MS,
    })
    pool.on('error', () => undefined) // an idle connection was lost; the pool has dropped it
    pool.on('connect', (client) => void client.query(DURABLE).catch(() => undefined))
    return {
      connect: async () => guarded(await pool.connect().catch(throwAway)),
      end: () => pool.end(),
      options: {},
    }
  }
}

/** An acknowledged change is on the disk (ARCH-D12), whatever the role's or the server's default is. */
const DURABLE =
  "select set_config('synchronous_commit', 'on', false) " +
  "where current_setting('synchronous_commit') in ('off', 'local')"

/** A connection that failed once is not used again: what its next answer belongs to is unknown. */
function guarded(client: pg.PoolClient): PostgresPoolClient {
  let away: DatabaseAway | undefined
  const note = (error: unknown): DatabaseAway => (away ??= new DatabaseAway(error))
  client.on('error', note)
  const query = async (sql: string, parameters: readonly unknown[]) => {
    if (away) throw away
    try {
      return await client.query(sql, [...parameters])
    } catch (error) {
      throw isAway(error) ? note(error) : error
    }
  }
  const release = (destroy?: boolean): void => {
    client.off('error', note)
    client.release(destroy === true || away !== undefined)
  }
  return { query, release } as unknown as PostgresPoolClient // no cursors here
}

function isAway(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true // the socket, or our own clock
  const { code = '' } = error
  return AWAY_CODES.includes(code) || AWAY_CLASSES.includes(code.slice(0, 2))
}

function throwAway(error: unknown): never {
  throw new DatabaseAway(error)
}

function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError) return reasonOf(cause.errors[0])
  return cause instanceof Error ? cause.message : String(cause)
}

/** Counters are below 2^53; text would be added like text. */
function numbersForInt8(oid: number, format?: string) {
  if (oid === INT8) return Number
  return pg.types.getTypeParser(oid, format as 'text')
}

function databaseName(url: string): string {
  const { host, port, database } = new pg.Client({ connectionString: url })
  return `${host}:${port}/${database}`
}

export function withoutPassword(url: string): string {
  const shown = new URL(url)
  shown.password = ''
  shown.searchParams.delete('password')
  return shown.href
}
