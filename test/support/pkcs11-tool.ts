import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SoftHsmToken } from './softhsm.ts'

export const PKCS11_TOOL = '/usr/bin/pkcs11-tool'

/** Runs OpenSC's tool, which knows nothing of us, on a token; logged in. Answers what it printed. */
export function pkcs11Tool(token: SoftHsmToken, ...args: readonly string[]): string {
  const { modulePath, label, pin, env } = token
  const login = ['--module', modulePath, '--token-label', label, '--login', '--pin', pin]
  return execFileSync(PKCS11_TOOL, [...login, ...args], {
    encoding: 'utf8',
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** A key of somebody else. `id` is its CKA_ID in hex. */
export interface ToolKey {
  readonly id: string
  readonly label: string
}

/** Writes an AES-256 key of this value into the token: sensitive, not extractable, and not made there. */
export function importByTool(token: SoftHsmToken, { id, label }: ToolKey, value: Buffer): void {
  const file = join(token.dir, `import-${randomBytes(4).toString('hex')}`)
  writeFileSync(file, value, { mode: 0o600 })
  const kind = ['--type', 'secrkey', '--key-type', `AES:${value.length}`]
  pkcs11Tool(token, '--write-object', file, ...kind, ...NAMED(id, label))
}

/** Lets the token make an AES-256 key, as an administrator does who has never heard of us. */
export function generateByTool(
  token: SoftHsmToken,
  { id, label }: ToolKey,
  ...more: string[]
): void {
  pkcs11Tool(token, '--keygen', '--key-type', 'AES:32', ...NAMED(id, label), ...more)
}

const NAMED = (id: string, label: string) => [
  '--id',
  id,
  '--label',
  label,
  '--sensitive',
  '--private',
]
