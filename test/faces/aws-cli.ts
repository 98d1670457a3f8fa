import { execFile } from 'node:child_process'
import type { CallerUnderTest, DaemonUnderTest } from '../support/daemon-under-test.ts'
import { ClientError, type Members, type RealClient } from './real-client.ts'

const PROGRAM = '/usr/bin/aws'
/** How the AWS CLI tells of an exception, on standard error. */
const REFUSAL =
  /An error occurred \((\w+)\) when calling the \w+ operation(?: \(reached max retries: \d+\))?: ?(.*)/s

/** The AWS CLI as Debian ships it, called as a user would who has the profile that `init` wrote. */
export const awsCli: RealClient = {
  name: 'AWS CLI',
  program: PROGRAM,
  startsSlowly: true,
  lacks: ['GetKeyLastUsage', 'ListKeyRotations', 'RotateKeyOnDemand'],
  call: (daemon, operation, input, caller) =>
    new Promise((resolve, reject) => {
      const args = ['kms', commandOf(operation), '--endpoint-url', daemon.kms, '--output', 'json']
      if (caller?.region !== undefined) args.push('--region', caller.region)
      args.push('--cli-input-json', JSON.stringify(input))
      execFile(PROGRAM, args, { env: environment(daemon, caller) }, (error, stdout, stderr) => {
        if (error) reject(refusalOf(stderr) ?? new Error(stderr, { cause: error }))
        else resolve(JSON.parse(stdout || '{}') as Members) // nothing, for an operation without output
      })
    }),
}

/** `GenerateDataKey` is `generate-data-key` there. */
function commandOf(operation: string): string {
  return operation.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase()
}

function environment(
  daemon: DaemonUnderTest,
  { accessKeyId, secretAccessKey }: CallerUnderTest = {},
): Record<string, string> {
  const { AWS_PROFILE = '', ...rest } = daemon.clientEnvironment()
  const common = { ...rest, AWS_MAX_ATTEMPTS: '1' }
  if (accessKeyId === undefined || secretAccessKey === undefined) return { ...common, AWS_PROFILE }
  return {
    ...common,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_DEFAULT_REGION: daemon.region,
  }
}

function refusalOf(stderr: string): ClientError | undefined {
  const [, code, message] = REFUSAL.exec(stderr) ?? []
  return code === undefined ? undefined : new ClientError(code, (message ?? '').trim())
}
