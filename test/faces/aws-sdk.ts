import * as sdk from '@aws-sdk/client-kms'
import { ClientError, type Members, type RealClient } from './real-client.ts'

/** Members of requests that are bytes. */
const BLOBS: ReadonlySet<string> = new Set([
  'Plaintext',
  'CiphertextBlob',
  'SharedSecretCiphertextBlob',
  'PublicKey',
  'Message',
  'ImportToken',
  'EncryptedKeyMaterial',
  'Mac',
  'Signature',
])

type AnyCommand = Parameters<sdk.KMSClient['send']>[0]

/** AWS's SDK for JavaScript, in this process. */
export const awsSdk: RealClient = {
  name: '@aws-sdk/client-kms',
  async call(daemon, operation, input, caller) {
    const client = daemon.client(caller)
    try {
      const { $metadata: _, ...output } = await client.send(commandOf(operation, input))
      return Object.fromEntries(Object.entries(output).map(([name, it]) => [name, printed(it)]))
    } catch (error) {
      if (!(error instanceof sdk.KMSServiceException)) throw error
      throw new ClientError(error.name, error.message)
    } finally {
      client.destroy()
    }
  },
}

function commandOf(operation: string, input: Members): AnyCommand {
  const commands = sdk as unknown as Readonly<Record<string, new (input: object) => AnyCommand>>
  const Command = commands[`${operation}Command`]
  if (!Command) throw new TypeError(`the SDK has no ${operation}`)
  return new Command(withBytes(input))
}

/** The members as the SDKs take them: bytes, where they stand here in base64. */
export function withBytes(input: Members): Members {
  const members = Object.entries(input).map(([name, value]) => [
    name,
    BLOBS.has(name) ? Buffer.from(String(value), 'base64') : value,
  ])
  return Object.fromEntries(members) as Members
}

function printed(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
}
