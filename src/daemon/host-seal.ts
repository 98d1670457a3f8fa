import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  randomBytes,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseBase64 } from '../bytes/base64.ts'
import { fields } from '../bytes/fields.ts'
import { Sensitive } from '../bytes/sensitive.ts'
import { ConfigError } from './config-error.ts'
import { readPrivateFile, writePrivateFile } from './private-file.ts'

const VERSION = 'v1.'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const CREDENTIAL = 'hsm-bridge-host-key'

/**
 * Seals request-signing secrets for storage by a key of this host, not of the token (ARCH-D12): the faces must tell who
 * is calling, and report health, also while the token is down.
 */
export class HostSeal {
  readonly #key: KeyObject

  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new TypeError(`a host key has ${KEY_BYTES} bytes`)
    this.#key = createSecretKey(key)
  }

  /** A key of its own for another purpose on this host, such as the fingerprints of the login latch. */
  deriveKey(purpose: string): Sensitive<Buffer> {
    return new Sensitive(Buffer.from(hkdfSync('sha256', this.#key, '', purpose, KEY_BYTES)))
  }

  /** `owner` (an access key id) is bound in: a sealed secret opens for nobody else's row. */
  seal(secret: Sensitive<string>, owner: string): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv, { authTagLength: TAG_BYTES })
    cipher.setAAD(aad(owner))
    const body = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()])
    return VERSION + Buffer.concat([iv, body, cipher.getAuthTag()]).toString('base64')
  }

  /** Throws ConfigError when the secret was sealed by another host key, for another owner, or was edited. */
  open(sealed: string, owner: string): Sensitive<string> {
    try {
      const bytes = sealed.startsWith(VERSION) && parseBase64(sealed.slice(VERSION.length))
      if (!bytes || bytes.length < IV_BYTES + TAG_BYTES) throw new TypeError('not a sealed secret')
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES,
      })
      decipher.setAAD(aad(owner))
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      const body = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES))
      return new Sensitive(Buffer.concat([body, decipher.final()]).toString('utf8'))
    } catch (error) {
      throw new ConfigError(
        'host.key',
        `the secret of ${owner} was not sealed by this host key; restore the state directory's host.key (daemons on one database share it)`,
        { cause: error },
      )
    }
  }
}

function aad(owner: string): Buffer {
  return fields().sized(1, 'hsm-bridge host seal v1').sized(2, owner).bytes()
}

/** The seal of this host: systemd's credential when there is one, else the file. Absent means not made yet. */
export function findHostSeal(file: string, env: NodeJS.ProcessEnv): HostSeal | undefined {
  const directory = env['CREDENTIALS_DIRECTORY']
  const credential = directory && join(directory, CREDENTIAL)
  const path = credential && existsSync(credential) ? credential : file
  if (!existsSync(path)) return undefined
  const key = Buffer.from(readPrivateFile(path, 'host.key').trim(), 'hex')
  if (key.length !== KEY_BYTES) {
    throw new ConfigError('host.key', `${path} must hold ${KEY_BYTES} bytes as hexadecimal digits`)
  }
  return new HostSeal(key)
}

/** The seal of this host; its key is drawn and written to the file (0600) the first time. */
export function makeHostSeal(file: string, env: NodeJS.ProcessEnv): HostSeal {
  const found = findHostSeal(file, env)
  if (found) return found
  writePrivateFile(file, `${randomBytes(KEY_BYTES).toString('hex')}\n`)
  return makeHostSeal(file, env)
}
