import type { Section } from '../row.ts'
import { AUTHENTICATION } from './authentication.ts'
import { DECRYPT } from './decrypt.ts'
import { ENCRYPT } from './encrypt.ts'
import { ERRORS } from './errors.ts'
import { GET_KEY_METADATA } from './get-key-metadata.ts'
import { HEALTH } from './health.ts'
import { PRECEDENCE } from './precedence.ts'
import { REQUEST_METADATA } from './request-metadata.ts'
import { TRANSPORT } from './transport.ts'
import { URI } from './uri.ts'

/** All rows, in the order of a report. */
export const SECTIONS: readonly Section[] = [
  TRANSPORT,
  URI,
  AUTHENTICATION,
  REQUEST_METADATA,
  GET_KEY_METADATA,
  ENCRYPT,
  DECRYPT,
  HEALTH,
  ERRORS,
  PRECEDENCE,
]
