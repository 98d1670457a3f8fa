import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { openModule } from '../src/pkcs11/pkcs11-module.ts'
import { softHsmModulePath, writeSoftHsmConf } from './softhsm-conf.ts'

const USAGE =
  'usage: make-token --dir DIRECTORY --label LABEL --pin-file FILE [--module PATH] [--without-gcm]'

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    label: { type: 'string' },
    'pin-file': { type: 'string' },
    module: { type: 'string' },
    'without-gcm': { type: 'boolean', default: false },
  },
})

if (values.dir === undefined || values.label === undefined || values['pin-file'] === undefined) {
  process.stderr.write(`${USAGE}\n`)
  process.exit(64)
}
const { label } = values
const directory = resolve(values.dir)

mkdirSync(directory, { recursive: true, mode: 0o700 })
const { confPath } = writeSoftHsmConf(directory, { withoutGcm: values['without-gcm'] })
const userPin = pinOf(resolve(values['pin-file']))

process.env['SOFTHSM2_CONF'] = confPath // read by C_Initialize
const module = openModule({
  modulePath: values.module ?? softHsmModulePath(),
  profile: { ambiguousCkrs: [], readWriteSessionsOnly: false },
})
if (module.tokens().some((token) => token.label === label)) {
  process.stderr.write(`${directory} holds a token with the label ${label} already\n`)
  process.exit(1)
}

const soPin = randomPin()
writeFileSync(join(directory, 'so-pin'), `${soPin}\n`, { mode: 0o600 })
const made = module.initToken({ label, soPin, userPin })
module.finalize()
process.stdout.write(`${made.serial}\n`)

/** The PIN in the file; a file that does not exist is written with a long random one. */
function pinOf(path: string): string {
  if (existsSync(path)) {
    if ((statSync(path).mode & 0o077) !== 0) {
      process.stderr.write(`${path} can be read by others: chmod 600\n`)
      process.exit(1)
    }
    return readFileSync(path, 'utf8').trim()
  }
  const pin = randomPin()
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, `${pin}\n`, { mode: 0o600, flag: 'wx' })
  return pin
}

/** 192 random bits in an alphabet that every module takes. */
function randomPin(): string {
  return randomBytes(24).toString('base64url')
}
