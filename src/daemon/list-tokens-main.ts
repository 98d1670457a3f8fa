import { openModule, type ModuleOptions } from '../pkcs11/pkcs11-module.ts'

/** Child process of token-listing.ts: the module's options as JSON on stdin, its tokens as JSON on stdout. Logs in to nothing. */
const chunks: Buffer[] = []
for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
const options = JSON.parse(Buffer.concat(chunks).toString('utf8')) as ModuleOptions
const module = openModule(options)
process.stdout.write(JSON.stringify(module.tokens()))
module.finalize()
