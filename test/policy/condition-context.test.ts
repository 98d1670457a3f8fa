import { expect } from 'chai'
import { conditionContext } from '../../src/policy/condition-context.ts'

describe('conditionContext', () => {
  it('lower-cases names, leaves out what has no value and keeps the empty string', () =>
    expect([
      ...conditionContext([
        ['aws:UserName', 'Alice'],
        ['kms:ViaService', undefined],
        ['aws:TagKeys', []],
        ['kms:EncryptionContext:A', ''],
        ['kms:EncryptionContextKeys', ['A', 'b']],
      ]),
    ]).to.deep.equal([
      ['aws:username', ['Alice']],
      ['kms:encryptioncontext:a', ['']],
      ['kms:encryptioncontextkeys', ['A', 'b']],
    ]))

  it('AT-Z10 keeps both values of two names that differ by case', () =>
    expect(
      conditionContext([
        ['kms:EncryptionContext:A', '1'],
        ['kms:EncryptionContext:a', '2'],
      ]).get('kms:encryptioncontext:a'),
    ).to.deep.equal(['1', '2']))

  it('AT-J02 takes __proto__ for a name', () =>
    expect(conditionContext([['__proto__', 'x']]).get('__proto__')).to.deep.equal(['x']))
})
