import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { ClientError, type Members, type RealClient } from './real-client.ts'

const PYTHON = '/usr/bin/python3'
const SCRIPT = join(import.meta.dirname, 'boto3_call.py')

type Outcome =
  | { readonly output: Members }
  | { readonly error: { readonly code: string; readonly message: string } }

/** Debian's boto3, one process a call. */
export const boto3: RealClient = {
  name: 'boto3',
  program: '/usr/lib/python3/dist-packages/boto3/__init__.py',
  lacks: ['GetKeyLastUsage', 'ListKeyRotations', 'RotateKeyOnDemand'],
  call: (daemon, operation, input, caller) =>
    new Promise((resolve, reject) => {
      const { region, accessKeyId, secretAccessKey } = daemon.endpoint(caller)
      const env = {
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_DEFAULT_REGION: region,
        HOME: daemon.directory,
      }
      const child = execFile(PYTHON, [SCRIPT, daemon.kms], { env }, (error, stdout, stderr) => {
        if (error) return reject(new Error(stderr, { cause: error }))
        const outcome = JSON.parse(stdout) as Outcome
        if ('output' in outcome) resolve(outcome.output)
        else reject(new ClientError(outcome.error.code, outcome.error.message))
      })
      child.stdin?.end(JSON.stringify({ operation, input }))
    }),
}
