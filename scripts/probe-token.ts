import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { openModule } from '../src/pkcs11/pkcs11-module.ts'
import { probeToken } from '../src/pkcs11/probe.ts'

const USAGE = `usage: probe-token --module PATH (--serial SERIAL | --label LABEL) --pin-file FILE [--name NAME]
Measures a token and prints a vendor profile as JSON (native-config/profile.schema.json).
Logs in once, and makes and destroys a few objects labelled "hsm-bridge probe".`

const { values } = parseArgs({
  options: {
    module: { type: 'string' },
    serial: { type: 'string' },
    label: { type: 'string' },
    'pin-file': { type: 'string' },
    'library-parameters': { type: 'string' },
    name: { type: 'string', default: 'measured' },
  },
})
const { module: modulePath, serial, label, name } = values
if (
  modulePath === undefined ||
  values['pin-file'] === undefined ||
  (serial ?? label) === undefined
) {
  process.stderr.write(`${USAGE}\n`)
  process.exit(64)
}
const pin = readFileSync(values['pin-file'], 'utf8').trim()

const module = openModule({
  modulePath,
  ...(values['library-parameters'] !== undefined && {
    libraryParameters: values['library-parameters'],
  }),
  profile: { ambiguousCkrs: [], readWriteSessionsOnly: true }, // read/write sessions work everywhere
})
const slot = module.slotOf(serial !== undefined ? { serial } : { label: String(label) })
const info = module.tokenInfo(slot)
if (info.userPinLocked || info.userPinFinalTry) {
  process.stderr.write('the PIN is locked, or the next wrong one locks it: not logging in\n')
  process.exit(1)
}
const anchor = module.openSession(slot, { readWrite: true }) // closing the last session logs out
module.login(anchor, pin)
const profile = await probeToken(module, slot, {
  name,
  modulePath,
  by: 'scripts/probe-token',
  on: new Date().toISOString().slice(0, 10),
})
process.stdout.write(`${JSON.stringify(profile, undefined, 2)}\n`)
