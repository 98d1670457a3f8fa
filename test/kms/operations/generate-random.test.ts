import { expect } from 'chai'
import { CustodyError } from '../../../src/crypto/custody-error.ts'
import { allowing, caller, expectKmsError, Rig } from '../rig.ts'

describe('GenerateRandom', () => {
  let rig: Rig
  beforeEach(async () => {
    rig = await new Rig().start()
  })
  afterEach(() => rig.remove())

  for (const numberOfBytes of [1, 32, 1024])
    it(`replies with ${numberOfBytes} bytes of the token and nothing else`, async () => {
      const reply = await rig.ask('GenerateRandom', { numberOfBytes })
      expect(reply).to.have.all.keys('plaintext')
      expect(reply.plaintext).to.have.lengthOf(numberOfBytes)
      expect(rig.custody.calls).to.deep.equal(['random'])
    })

  it('gives other bytes each time', async () => {
    const [one, other] = await Promise.all([
      rig.ask('GenerateRandom', { numberOfBytes: 32 }),
      rig.ask('GenerateRandom', { numberOfBytes: 32 }),
    ])
    expect(one.plaintext).not.to.deep.equal(other.plaintext)
  })

  const refusals: [string, object, string, string | undefined][] = [
    ['KMS-40: no size', {}, 'ValidationException', 'NumberOfBytes is required.'],
    [
      'a custom key store',
      { numberOfBytes: 1, customKeyStoreId: 'cks-1234567890abcdef0' },
      'UnsupportedOperationException',
      'Custom key stores are not supported.',
    ],
    [
      'an enclave',
      { numberOfBytes: 1, recipient: {} },
      'UnsupportedOperationException',
      'Recipient is not supported.',
    ],
  ]
  for (const [what, input, code, message] of refusals)
    it(`${what} answers ${code}`, async () => {
      await expectKmsError(rig.ask('GenerateRandom', input), code as never, message)
      expect(rig.custody.calls).to.deep.equal([])
    })

  it('needs an identity policy', async () => {
    const by = caller('maker', [allowing('kms:Encrypt')])
    await expectKmsError(
      rig.ask('GenerateRandom', { numberOfBytes: 1 }, { by }),
      'AccessDeniedException',
      `User: ${by.arn} is not authorized to perform: kms:GenerateRandom on resource: * because no identity-based policy allows the kms:GenerateRandom action`,
    )
  })

  it('a token that does not answer is told by the table', async () => {
    rig.custody.beforeNext('random', () => {
      throw new CustodyError('DEADLINE', 'no answer')
    })
    await expectKmsError(
      rig.ask('GenerateRandom', { numberOfBytes: 1 }),
      'DependencyTimeoutException',
    )
  })
})
