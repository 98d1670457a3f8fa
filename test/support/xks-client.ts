import { cdiv, cdivPrefix } from '../../src/xks/cdiv.ts'
import { callXks } from './xks-daemon.ts'
import {
  decryptCall,
  encryptCall,
  HEALTH_CALL,
  REQUEST_METADATA,
  type XksAnswer,
  type XksCall,
  type XksEndpoint,
} from './xks-request.ts'

/** An error that the proxy answered with. Its name is the errorName. */
export class XksRefusal extends Error {
  readonly status: number

  constructor({ status, body }: XksAnswer) {
    super(`${status} ${JSON.stringify(body)}`)
    this.name = String(body.errorName)
    this.status = status
  }
}

/** The four calls over HTTPS, with what AWS KMS looks at. It never retries: a test sees every answer. */
export class XksClient {
  /** May be changed at any time. */
  endpoint: XksEndpoint
  readonly #agent: Parameters<typeof callXks>[2]

  constructor(endpoint: XksEndpoint, agent?: Parameters<typeof callXks>[2]) {
    this.endpoint = endpoint
    this.#agent = agent
  }

  /** The members of the answer, its CDIV found to be right. Throws XksRefusal. */
  async encrypt(
    keyId: string,
    plaintext: Buffer,
    aad = Buffer.from('aad'),
  ): Promise<XksAnswer['body']> {
    const sealed = await this.#ask(encryptCall(keyId, plaintext, aad))
    assertCdiv(sealed, aad)
    return sealed
  }

  async decrypt(
    keyId: string,
    sealed: XksAnswer['body'],
    aad = Buffer.from('aad'),
  ): Promise<Buffer> {
    return bytesOf(await this.#ask(decryptCall(keyId, sealed, aad)), 'plaintext')
  }

  async metadata(keyId: string): Promise<XksAnswer['body']> {
    const requestMetadata = { ...REQUEST_METADATA, kmsOperation: 'DescribeKey' }
    return await this.#ask({ path: `keys/${keyId}/metadata`, body: { requestMetadata } })
  }

  /** How the one token is said to be. */
  async health(): Promise<string> {
    const { ekmFleetDetails } = await this.#ask(HEALTH_CALL)
    const [token] = ekmFleetDetails as readonly { readonly healthStatus: string }[]
    return token?.healthStatus ?? 'none'
  }

  async #ask(call: XksCall): Promise<XksAnswer['body']> {
    const answer = await callXks(this.endpoint, call, this.#agent)
    if (answer.status !== 200) throw new XksRefusal(answer)
    return answer.body
  }
}

function assertCdiv(sealed: XksAnswer['body'], aad: Buffer): void {
  const part = (name: string) => bytesOf(sealed, name)
  const expected = cdiv(cdivPrefix(aad, part('ciphertextMetadata')), {
    iv: part('initializationVector'),
    ciphertext: Buffer.concat([part('ciphertext'), part('authenticationTag')]),
  })
  if (!expected.equals(part('ciphertextDataIntegrityValue'))) throw new Error('the CDIV is wrong')
}

function bytesOf(members: XksAnswer['body'], name: string): Buffer {
  return Buffer.from(String(members[name]), 'base64')
}
