import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CallerUnderTest } from './daemon-under-test.ts'
import type { GoldenToken } from './golden-token.ts'

const FOLDER = join(import.meta.dirname, '..', 'vectors', 'golden')

/** One folder `database-v<N>`: a database as a version left it, and what else opens it. README.md beside it says more. */
export interface GoldenDatabase {
  readonly name: string
  /** Files of the state directory. */
  readonly state: string
  readonly facts: GoldenFacts
}

export interface GoldenFacts {
  readonly warning: string
  /** Names of the migrations that the database had seen. */
  readonly migrations: readonly string[]
  readonly token: GoldenToken
  readonly callers: Readonly<Record<string, Required<CallerUnderTest>>>
  readonly exchanges: readonly Exchange[]
  readonly ciphertexts: readonly GoldenCiphertext[]
  /** External key stores and keys, as the command line shows them; absent in versions without. */
  readonly external?: GoldenExternal
}

export interface GoldenExternal {
  /** Each as `xks store show` shows it. */
  readonly stores: readonly { readonly name: string }[]
  /** As `xks key list` lists them. */
  readonly keys: readonly { readonly arn: string }[]
}

/** What was asked of the version that wrote the database, and what it answered. */
export interface Exchange {
  readonly caller: string
  readonly operation: string
  readonly input: Readonly<Record<string, unknown>>
  readonly outcome: Outcome
}

export type Outcome =
  | { readonly reply: unknown }
  | { readonly error: string; readonly message: string }

export interface GoldenCiphertext {
  readonly caller: string
  readonly keyArn: string
  readonly EncryptionContext?: Readonly<Record<string, string>>
  /** Base64, as the next one. */
  readonly CiphertextBlob: string
  readonly plaintext: string
}

/** All of them, oldest first. */
export function goldenDatabases(): readonly GoldenDatabase[] {
  return readdirSync(FOLDER)
    .filter((name) => /^database-v\d+$/.test(name))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => ({
      name,
      state: join(FOLDER, name, 'state'),
      facts: JSON.parse(readFileSync(join(FOLDER, name, 'facts.json'), 'utf8')) as GoldenFacts,
    }))
}

/** The folder of a golden database that is about to be made. Throws where there is one: none is ever changed. */
export function folderOfNew(name: string): string {
  const folder = join(FOLDER, name)
  if (existsSync(folder))
    throw new TypeError(`${folder} exists; a golden database is never changed`)
  return folder
}
