import { randomBytes, randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { Sensitive } from '../bytes/sensitive.ts'
import { readPrivateFile, writePrivateFile } from './private-file.ts'
import type { StateDirectory } from './state-directory.ts'

/** An access key as AWS shapes it. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: Sensitive<string>
}

export const AWS_PROFILE = 'hsm-bridge'

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const SECRET_BYTES = 30 // 40 Base64 characters, as AWS's

export function drawAccessKey(): AccessKey {
  return {
    accessKeyId: `AKIA${base32(16)}`,
    secretAccessKey: new Sensitive(randomBytes(SECRET_BYTES).toString('base64')),
  }
}

/** AWS's unique id of an IAM user. */
export function drawUserId(): string {
  return `AIDA${base32(17)}`
}

function base32(characters: number): string {
  return Array.from({ length: characters }, () => BASE32[randomInt(BASE32.length)]).join('')
}

/** A credentials file (0600) in the format of the AWS CLI and every SDK. */
export function writeAwsCredentials(file: string, key: AccessKey): void {
  writePrivateFile(
    file,
    [
      `[${AWS_PROFILE}]`,
      `aws_access_key_id = ${key.accessKeyId}`,
      `aws_secret_access_key = ${key.secretAccessKey.reveal()}`,
      '',
    ].join('\n'),
  )
}

/** The config file beside it. Clients from 2023 on take the endpoint from it; older ones want `--endpoint-url`. */
export function writeAwsConfig(file: string, region: string, endpoint: string): void {
  writePrivateFile(
    file,
    [`[profile ${AWS_PROFILE}]`, `region = ${region}`, `endpoint_url = ${endpoint}`, ''].join('\n'),
  )
}

/** Reads back what `writeAwsCredentials` wrote; undefined when there is no such file or profile. */
export function findAwsCredentials(state: StateDirectory): AccessKey | undefined {
  if (!existsSync(state.awsCredentials)) return undefined
  const text = readPrivateFile(state.awsCredentials, 'aws-credentials')
  const value = (name: string): string | undefined =>
    new RegExp(`^${name} *= *(\\S+)$`, 'm').exec(text)?.[1]
  const accessKeyId = value('aws_access_key_id')
  const secret = value('aws_secret_access_key')
  if (!accessKeyId || !secret) return undefined
  return { accessKeyId, secretAccessKey: new Sensitive(secret) }
}
