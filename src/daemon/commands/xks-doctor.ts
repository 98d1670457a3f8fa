import { resolve } from 'node:path'
import * as z from 'zod'
import { defineCommand, type Given } from '../command.ts'
import { checkXks } from '../xks-doctor.ts'
import { allPassed, printChecks } from './doctor.ts'

const file = z.string().startsWith('/').optional()

export const xksDoctor = defineCommand({
  name: 'xks doctor',
  summary:
    'look at a store from the outside, as AWS KMS will: name, certificate, suites, a signed call',
  argument: { name: '<store>', summary: 'name of an external key store' },
  flags: [
    { flags: '--url <url>', summary: 'its XksProxyUriEndpoint, https://…', required: true },
    { flags: '--ca-file <file>', summary: 'CA of its certificate, where the system has it not' },
    {
      flags: '--trusted-cas-file <file>',
      summary: 'the CAs that AWS KMS trusts, where its list is newer than ours',
    },
    { flags: '--client-cert-file <file>', summary: 'certificate to show, for mutual TLS' },
    { flags: '--client-key-file <file>', summary: 'its key, a file of mode 0600' },
  ],
  where: 'either',
  parameters: z.strictObject({
    store: z.string(),
    url: z.url('must be a URL'),
    caFile: file,
    trustedCasFile: file,
    clientCertFile: file,
    clientKeyFile: file,
  }),
  prepare: (given) => ({
    store: String(given['store']),
    url: String(given['url']),
    ...absolute(given, 'caFile'),
    ...absolute(given, 'trustedCasFile'),
    ...absolute(given, 'clientCertFile'),
    ...absolute(given, 'clientKeyFile'),
  }),
  perform: (installation, wish) => checkXks(installation, wish),
  print: printChecks,
  succeeded: allPassed,
})

function absolute<Name extends string>(given: Given, name: Name): { [One in Name]?: string } {
  const path = given[name]
  const found: { [One in Name]?: string } = {}
  if (path !== undefined) found[name] = resolve(String(path))
  return found
}
