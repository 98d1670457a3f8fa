import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const PACKAGE = join(import.meta.dirname, '..', '..', 'package.json')

/** Name and version of this program, as the package says. */
export const PRODUCT: { readonly name: string; readonly version: string } = JSON.parse(
  readFileSync(PACKAGE, 'utf8'),
)
