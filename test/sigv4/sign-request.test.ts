import { expect } from 'chai'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { signRequest } from '../../src/sigv4/sign-request.ts'
import { verifySignature } from '../../src/sigv4/verify-signature.ts'
import { ACCESS_KEY_ID, NOW, SECRET, verificationContext } from './reference-signer.ts'

describe('signRequest', () => {
  for (const target of ['/', '/kms/xks/v1/keys/a-1/encrypt', '/a%20b/?x=1&x=0&y=%2F'])
    it(`signs ${target} so that it verifies`, async () => {
      const url = new URL(`https://xks.example.com:8443${target}`)
      const body = Buffer.from('{"a":"é"}')
      const headers = await signRequest(
        { method: 'POST', url, headers: { 'content-type': 'application/json' }, body },
        {
          accessKeyId: ACCESS_KEY_ID,
          secretAccessKey: new Sensitive(SECRET),
          region: 'eu-west-1',
          service: 'kms-xks-proxy',
        },
        NOW,
      )
      expect(headers['host']).to.equal('xks.example.com:8443')
      expect(
        verifySignature(
          {
            method: 'POST',
            rawTarget: url.pathname + url.search,
            rawHeaders: Object.entries(headers).flat(),
            body,
          },
          verificationContext({ service: 'kms-xks-proxy' }),
        ),
      ).to.deep.equal({
        accessKeyId: ACCESS_KEY_ID,
        region: 'eu-west-1',
        signedAt: NOW,
        signature: headers['authorization']?.slice(-64),
      })
    })
})
