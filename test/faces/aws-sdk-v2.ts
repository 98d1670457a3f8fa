import KMS from 'aws-sdk/clients/kms.js'
import { withBytes } from './aws-sdk.ts'
import { ClientError, type Members, type RealClient } from './real-client.ts'

process.env['AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE'] = '1'

/** Version 2 of AWS's SDK for JavaScript: out of maintenance, and in many a system still. */
export const awsSdkV2: RealClient = {
  name: 'aws-sdk v2',
  lacks: ['GetKeyLastUsage'],
  async call(daemon, operation, input, caller) {
    const { region, accessKeyId, secretAccessKey } = daemon.endpoint(caller)
    const credentials = { accessKeyId, secretAccessKey }
    const client = new KMS({ endpoint: daemon.kms, region, credentials, maxRetries: 0 })
    try {
      const output = await client.makeRequest(methodOf(operation), withBytes(input)).promise()
      const { $response: _, ...members } = output as Members
      return printed(members) as Members
    } catch (error) {
      const { code, message } = error as { code?: string; message: string | null }
      if (code === undefined || !('statusCode' in (error as object))) throw error
      throw new ClientError(code, message ?? '')
    }
  },
}

/** `GenerateDataKey` is `generateDataKey` there. */
function methodOf(operation: string): string {
  return operation.replace(/^[A-Z]/, (letter) => letter.toLowerCase())
}

/** As JSON: bytes in base64. */
function printed(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (Array.isArray(value)) return value.map(printed)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([name, it]) => [name, printed(it)]))
}
