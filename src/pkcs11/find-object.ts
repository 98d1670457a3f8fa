import { CustodyError } from '../crypto/custody-error.ts'
import type { Template } from './attribute.ts'
import { CKA, CKK, CKO } from './attribute.ts'
import type { ObjectHandle, Session } from './session.ts'
import { idBytes } from './template.ts'

/** The name of a token object (ARCH-D5), within one token. `id` is CKA_ID as hex or bytes. */
export interface ObjectName {
  readonly id: string | Buffer
  readonly class: 'SECRET_KEY' | 'DATA'
  readonly keyType?: 'AES' | 'GENERIC_SECRET'
}

/** Asks for two objects of one name, so that `exactlyOne` can see a double. */
export function findObjects(session: Session, name: ObjectName): ObjectHandle[] {
  const template: Template = [
    { type: CKA.CLASS, value: CKO[name.class] },
    { type: CKA.ID, value: idBytes(name.id) },
    ...(name.keyType ? [{ type: CKA.KEY_TYPE, value: CKK[name.keyType] }] : []),
  ]
  return session.find(template, 2)
}

/** The one handle; throws CustodyError KEY_UNAVAILABLE for none and KEY_AMBIGUOUS for more. */
export function exactlyOne(handles: readonly ObjectHandle[]): ObjectHandle {
  const [only] = handles
  if (only === undefined) {
    throw new CustodyError('KEY_UNAVAILABLE', 'the token shows no object of this name')
  }
  if (handles.length > 1) {
    throw new CustodyError('KEY_AMBIGUOUS', 'the token shows several objects of one name')
  }
  return only
}
