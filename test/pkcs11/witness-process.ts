import { text } from 'node:stream/consumers'
import { witnessKeys } from '../../src/pkcs11/witness.ts'

// Started by witness.test.ts: the witness finalises the module, so it has a process of its own. The PIN comes over stdin.
const [modulePath = '', serial = ''] = process.argv.slice(2)
const pin = await text(process.stdin)
process.stdout.write(JSON.stringify(witnessKeys(modulePath, serial, pin)))
