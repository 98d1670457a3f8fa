import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CKA } from '../../src/pkcs11/attribute.ts'
import { makeSoftHsmToken, type SoftHsmToken } from './softhsm.ts'
import type { TokenObject } from './token-object.ts'
import { visitToken } from './token-visitor.ts'

/** A token that a golden database belongs to. Its keys are for tests only: they are public. */
export interface GoldenToken {
  readonly serial: string
  readonly objects: readonly TokenObject[]
}

/** A fresh SoftHSM2 token that holds the same objects under the same serial. */
export async function remakeToken({ serial, objects }: GoldenToken): Promise<SoftHsmToken> {
  const fresh = await makeSoftHsmToken()
  rewrite(fresh, '*/token.object', (file) => replaceOnce(file, fresh.serial, serial))
  const token = { ...fresh, serial }
  visitToken(token, 'putObjects', JSON.stringify(objects))
  return token
}

/** What a golden token is made of. The token is spoilt: its keys may leave it from then on. */
export function readOutToken(token: SoftHsmToken): GoldenToken {
  rewrite(token, '*/*.object', (file, name) => (name === 'token.object' ? file : openKey(file)))
  const objects = visitToken(token, 'readObjects') as TokenObject[]
  return { serial: token.serial, objects }
}

function rewrite(
  token: SoftHsmToken,
  pattern: string,
  edit: (file: Buffer, name: string) => Buffer,
): void {
  for (const name of globSync(pattern, { cwd: token.tokenDirectory })) {
    const path = join(token.tokenDirectory, name)
    writeFileSync(path, edit(readFileSync(path), name.split('/').at(-1) ?? ''))
  }
}

/** Serials have one length, so that nothing in the file moves. */
function replaceOnce(file: Buffer, old: string, value: string): Buffer {
  const at = file.indexOf(old)
  if (at < 0 || value.length !== old.length) throw new TypeError(`no place for the serial ${value}`)
  file.write(value, at)
  return file
}

/** SoftHSM2 2.6 writes a boolean as type and kind, 8 bytes each in network order, and one byte. */
const BOOLEAN = 1n
const TRUE = 0xff

function openKey(file: Buffer): Buffer {
  setBoolean(file, CKA.SENSITIVE, 0)
  setBoolean(file, CKA.EXTRACTABLE, TRUE)
  return file
}

function setBoolean(file: Buffer, type: number, value: number): void {
  const head = Buffer.alloc(16)
  head.writeBigUInt64BE(BigInt(type), 0)
  head.writeBigUInt64BE(BOOLEAN, 8)
  const at = file.indexOf(head)
  if (at >= 0) file.writeUInt8(value, at + head.length) // data objects have none
}
