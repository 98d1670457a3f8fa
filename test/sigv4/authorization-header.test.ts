import { expect } from 'chai'
import { parseAuthorization } from '../../src/sigv4/authorization-header.ts'

const DATE = '20150830T123600Z'
const CREDENTIAL = 'Credential=AKID/20150830/us-east-1/kms/aws4_request'

describe('parseAuthorization', () => {
  it('reads every part', () =>
    expect(
      parseAuthorization(`AWS4-HMAC-SHA256 ${CREDENTIAL}, SignedHeaders=host, Signature=ab`, DATE),
    ).to.deep.equal({
      accessKeyId: 'AKID',
      date: '20150830',
      region: 'us-east-1',
      service: 'kms',
      terminator: 'aws4_request',
      scope: '20150830/us-east-1/kms/aws4_request',
      signedHeaders: 'host',
      signature: 'ab',
    }))

  it('names everything that is missing, the header itself only as a digest', () =>
    expect(() => parseAuthorization('Bearer s3cret', undefined)).to.throw(
      "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of a 'X-Amz-Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization=",
    ))

  const malformed: [title: string, header: string, message: string][] = [
    ['nothing but the algorithm', 'AWS4-HMAC-SHA256', "requires 'Credential' parameter."],
    ['no signature', `AWS4-HMAC-SHA256 ${CREDENTIAL}, SignedHeaders=host`, "requires 'Signature'"],
    [
      'an empty signature',
      `AWS4-HMAC-SHA256 ${CREDENTIAL}, SignedHeaders=host, Signature=`,
      "requires 'Signature'",
    ],
    ['no equal-sign', 'AWS4-HMAC-SHA256 Credential', 'Invalid key=value pair (missing equal-sign)'],
    [
      'a parameter twice',
      `AWS4-HMAC-SHA256 ${CREDENTIAL}, ${CREDENTIAL}`,
      "has 'Credential' twice",
    ],
    [
      'four elements',
      'AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=h, Signature=s',
      "exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b/c/d'",
    ],
    [
      'an empty element',
      'AWS4-HMAC-SHA256 Credential=a/b//d/e, SignedHeaders=h, Signature=s',
      'exactly 5',
    ],
    ['another algorithm', 'AWS4-HMAC-SHA512 x', "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."],
  ]
  for (const [title, header, message] of malformed)
    it(`AT-S02 refuses ${title}`, () =>
      expect(() => parseAuthorization(header, DATE))
        .to.throw(message)
        .with.property('code', 'INCOMPLETE'))
})
