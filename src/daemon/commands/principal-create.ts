import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import { Sensitive } from '../../bytes/sensitive.ts'
import { drawAccessKey, writeAwsCredentials } from '../aws-profile.ts'
import { defineCommand } from '../command.ts'
import { accountId } from '../config-schema.ts'
import { putPrincipal, USER_NAME } from '../principal.ts'
import { readPrivateFile } from '../private-file.ts'

export const principalCreate = defineCommand({
  name: 'principal create',
  summary: 'make a user, or give an existing one another access key; its secret is shown once',
  flags: [
    { flags: '--account <id>', summary: '12 digits', required: true },
    { flags: '--name <user>', summary: 'user name', required: true },
    {
      flags: '--policy-file <file>',
      summary: 'identity policy (JSON); without one only key policies give permission',
    },
    { flags: '--access-key-id <id>', summary: 'take this access key instead of a new one' },
    { flags: '--secret-from-file <file>', summary: 'its secret, in a file of mode 0600' },
    {
      flags: '--credentials-file <file>',
      summary: 'write an AWS credentials file (0600), print nothing',
    },
  ],
  where: 'either',
  parameters: z.strictObject({
    account: accountId,
    name: z.string().regex(USER_NAME, 'must be a user name'),
    policy: z.string().optional(),
    accessKeyId: z
      .string()
      .regex(/^[A-Z0-9]{16,128}$/)
      .optional(),
    secretAccessKey: z.string().min(16).optional(),
    credentialsFile: z.string().optional(),
  }),
  prepare: (given) => {
    const { accessKeyId, secretFromFile, policyFile, credentialsFile } = given
    if ((accessKeyId === undefined) !== (secretFromFile === undefined)) {
      throw new Error('--access-key-id and --secret-from-file belong together')
    }
    return {
      account: String(given['account']),
      name: String(given['name']),
      ...(policyFile === undefined ? {} : { policy: readFileSync(String(policyFile), 'utf8') }),
      ...(accessKeyId === undefined
        ? {}
        : {
            accessKeyId: String(accessKeyId),
            secretAccessKey: readPrivateFile(String(secretFromFile), 'secret-from-file').trim(),
          }),
      ...(credentialsFile === undefined
        ? {}
        : { credentialsFile: resolve(String(credentialsFile)) }),
    }
  },
  perform: async (
    installation,
    { account, name, policy, accessKeyId, secretAccessKey, credentialsFile },
  ) => {
    const accessKey =
      accessKeyId === undefined || secretAccessKey === undefined
        ? drawAccessKey()
        : { accessKeyId, secretAccessKey: new Sensitive(secretAccessKey) }
    const principal = await putPrincipal(installation, {
      accountId: account,
      userName: name,
      accessKey,
      policies: policy === undefined ? undefined : [policy],
    })
    if (credentialsFile !== undefined) writeAwsCredentials(credentialsFile, accessKey)
    return {
      arn: principal.arn,
      accessKeyId: accessKey.accessKeyId,
      credentialsFile,
      // The one moment in which it is told.
      secretAccessKey:
        credentialsFile === undefined ? accessKey.secretAccessKey.reveal() : undefined,
    }
  },
  print: (it, page) => {
    page.heading(it.arn)
    page.line(`aws_access_key_id = ${it.accessKeyId}`)
    if (it.secretAccessKey !== undefined) {
      page.line(`aws_secret_access_key = ${it.secretAccessKey}`)
      page.line('The secret is not shown again.')
    } else page.line(`The secret is in ${it.credentialsFile}.`)
  },
})
