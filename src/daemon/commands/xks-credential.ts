import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import { Sensitive } from '../../bytes/sensitive.ts'
import type { AccessKey } from '../aws-profile.ts'
import { type AdminCommand, defineCommand } from '../command.ts'
import type { Installation } from '../installation.ts'
import { readPrivateFile, writeNewPrivateFile } from '../private-file.ts'
import {
  addXksCredential,
  drawXksCredential,
  parseXksCredential,
  proxyConfiguration,
  removeXksCredential,
  storeUnknown,
  xksAccessKeyId,
  xksSecret,
} from '../xks-credential.ts'

const argument = { name: '<store>', summary: 'name of an external key store' }

const add = defineCommand({
  name: 'xks credential add',
  summary: 'give a store another credential; those it has stay valid until they are removed',
  argument,
  flags: [
    {
      flags: '--from-file <file>',
      summary:
        'take this one (mode 0600, JSON with AccessKeyId and RawSecretAccessKey), not a new one',
    },
  ],
  where: 'either',
  parameters: z.strictObject({
    store: z.string(),
    credential: z.strictObject({ accessKeyId: xksAccessKeyId, secret: xksSecret }).optional(),
  }),
  prepare: ({ store, fromFile }) => ({
    store: String(store),
    ...(fromFile !== undefined && { credential: readCredential(String(fromFile)) }),
  }),
  perform: async (installation, { store, credential }) => {
    const key: AccessKey = credential
      ? {
          accessKeyId: credential.accessKeyId,
          secretAccessKey: new Sensitive(credential.secret),
        }
      : drawXksCredential()
    await addRecorded(installation, store, key)
    return {
      store,
      accessKeyId: key.accessKeyId,
      // The one moment in which it is told.
      secretAccessKey: credential ? undefined : key.secretAccessKey.reveal(),
    }
  },
  print: (it, page) => {
    page.line(`AccessKeyId         ${it.accessKeyId}`)
    if (it.secretAccessKey === undefined) return
    page.line(`RawSecretAccessKey  ${it.secretAccessKey}`)
    page.line('The secret is not shown again.')
  },
})

const remove = defineCommand({
  name: 'xks credential remove',
  summary: 'what it signed is refused from now on; AWS KMS must have another one before',
  argument: { name: '<access-key-id>', summary: 'id of the credential' },
  flags: [],
  where: 'either',
  parameters: z.strictObject({ accessKeyId: z.string() }),
  prepare: (given) => ({ accessKeyId: String(given['access-key-id']) }),
  perform: async ({ storage, administration }, { accessKeyId }) => {
    const { storeName: store } = await administration.recorded((note) =>
      removeXksCredential(storage, accessKeyId, note),
    )
    return { accessKeyId, store }
  },
  print: (it, page) => page.line(`${it.accessKeyId} of ${it.store} is dead within a second.`),
})

const configFile = defineCommand({
  name: 'xks config-file',
  summary: 'make a credential and write the file (0600) that the AWS console and CLI take',
  argument,
  flags: [{ flags: '--out <file>', summary: 'a file that does not exist yet', required: true }],
  where: 'either',
  parameters: z.strictObject({ store: z.string(), out: z.string().startsWith('/') }),
  prepare: ({ store, out }) => ({ store: String(store), out: resolve(String(out)) }),
  perform: async (installation, { store, out }) => {
    const key = drawXksCredential()
    await writeConfiguration(installation, store, key, out)
    return { store, accessKeyId: key.accessKeyId, out }
  },
  print: (it, page) => {
    page.line(
      `${it.out} holds the credential ${it.accessKeyId}: the one place where its secret is.`,
    )
    page.line('Upload it in the console, or: aws kms create-custom-key-store; then delete it.')
  },
})

export const XKS_CREDENTIAL_COMMANDS: readonly AdminCommand[] = [add, remove, configFile]

async function addRecorded(
  installation: Installation,
  storeName: string,
  key: AccessKey,
): Promise<void> {
  await installation.administration.recorded((note) =>
    addXksCredential(installation, storeName, key, note),
  )
}

/** First the file: a credential whose secret nobody has would be of no use. */
async function writeConfiguration(
  installation: Installation,
  storeName: string,
  key: AccessKey,
  out: string,
): Promise<void> {
  const store = installation.storage.snapshot.findXksStore(storeName)
  if (!store) throw storeUnknown(storeName)
  writeNewPrivateFile(out, proxyConfiguration(store.uriPathPrefix, key))
  try {
    await addRecorded(installation, storeName, key)
  } catch (error) {
    rmSync(out, { force: true })
    throw error
  }
}

function readCredential(file: string) {
  const { accessKeyId, secretAccessKey } = parseXksCredential(readPrivateFile(file, 'from-file'))
  return { accessKeyId, secret: secretAccessKey.reveal() }
}
