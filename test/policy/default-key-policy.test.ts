import { expect } from 'chai'
import { compilePolicy } from '../../src/policy/compile-policy.ts'
import { defaultKeyPolicy } from '../../src/policy/default-key-policy.ts'

describe('defaultKeyPolicy', () => {
  it('KMS-19 is what AWS hands out, to the character', () =>
    expect(defaultKeyPolicy('111122223333').split('\n')).to.deep.equal([
      '{',
      '  "Version" : "2012-10-17",',
      '  "Id" : "key-default-1",',
      '  "Statement" : [ {',
      '    "Sid" : "Enable IAM User Permissions",',
      '    "Effect" : "Allow",',
      '    "Principal" : {',
      '      "AWS" : "arn:aws:iam::111122223333:root"',
      '    },',
      '    "Action" : "kms:*",',
      '    "Resource" : "*"',
      '  } ]',
      '}',
    ]))

  it('leaves all to the account', () => {
    const policy = compilePolicy(defaultKeyPolicy('111122223333'), 'key')
    const ask = (accountId: string) =>
      policy.decide({
        principal: { arn: `arn:aws:iam::${accountId}:user/a`, accountId },
        action: 'kms:PutKeyPolicy',
        resource: 'arn:aws:kms:eu-west-1:111122223333:key/1',
        context: new Map(),
      })
    expect(ask('111122223333').allows.map(({ matchedBy }) => matchedBy)).to.deep.equal(['account'])
    expect(ask('444455556666')).to.deep.equal({ allows: [] })
  })
})
