import aws4 from 'aws4'

/** Where a KMS face listens, and who calls it. */
export interface KmsEndpoint {
  readonly host: string
  readonly port: number
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface KmsRequest {
  /** Name of the operation, as `Encrypt`. */
  readonly operation: string
  /** The members of the request, as JSON on the wire. */
  readonly body: Readonly<Record<string, unknown>>
}

/** The bytes of one signed HTTP/1.1 request over a connection that stays open. The signature holds for five minutes. */
export function signedWire(endpoint: KmsEndpoint, request: KmsRequest): Buffer {
  const { path, headers, body } = sign(endpoint, request)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}

/** Sends one signed request and returns the members of the answer, undefined for an empty body; throws an Error named after the exception. */
export async function callKms<Answer>(endpoint: KmsEndpoint, request: KmsRequest): Promise<Answer> {
  const { path, headers, body } = sign(endpoint, request)
  const reply = await fetch(`http://${endpoint.host}:${endpoint.port}${path}`, {
    method: 'POST',
    headers,
    body,
  })
  const text = await reply.text()
  const answer = (text === '' ? undefined : JSON.parse(text)) as Answer & Refusal
  if (reply.ok) return answer
  const error = new Error(answer.message ?? answer.Message ?? `HTTP ${reply.status}`)
  error.name = String(answer.__type ?? 'Error')
  throw error
}

interface Refusal {
  readonly __type?: string
  readonly message?: string
  /** KMS-3: as AccessDeniedException spells it. */
  readonly Message?: string
}

function sign(
  { host, port, region, accessKeyId, secretAccessKey }: KmsEndpoint,
  { operation, body }: KmsRequest,
): { path: string; headers: Record<string, string>; body: string } {
  const text = JSON.stringify(body)
  const signed = aws4.sign(
    {
      service: 'kms',
      region,
      method: 'POST',
      path: '/',
      headers: {
        Host: `${host}:${port}`,
        'Content-Type': 'application/x-amz-json-1.1',
        'X-Amz-Target': `TrentService.${operation}`,
      },
      body: text,
    },
    { accessKeyId, secretAccessKey },
  )
  return { path: '/', headers: signed.headers as Record<string, string>, body: text }
}
