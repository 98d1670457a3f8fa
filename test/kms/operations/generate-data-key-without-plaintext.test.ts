import { expect } from 'chai'
import { allowing, caller, expectKmsError, Rig } from '../rig.ts'
import { putInState } from '../keys-in-state.ts'

const OPERATION = 'GenerateDataKeyWithoutPlaintext'

describe(OPERATION, () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
  })
  afterEach(() => rig.remove())

  const generate = (input: object = {}, asked: object = {}) =>
    rig.ask(OPERATION, { keyId: key.keyId, keySpec: 'AES_256', ...input }, asked)

  const sizes: [string, object, number][] = [
    ['AES_128', { keySpec: 'AES_128' }, 16],
    ['AES_256', {}, 32],
    ['1 byte', { keySpec: undefined, numberOfBytes: 1 }, 1],
    ['1024 bytes', { keySpec: undefined, numberOfBytes: 1024 }, 1024],
  ]
  for (const [what, input, bytes] of sizes)
    it(`KMS-38: replies with ${what}, encrypted only`, async () => {
      const encryptionContext = { a: 'b' }
      const { ciphertextBlob, ...reply } = await generate({ encryptionContext, ...input })
      expect(reply).to.deep.equal({
        keyId: key.arn,
        keyMaterialId: rig.storage.snapshot.findKey(key.arn)?.currentMaterialId,
      })
      const opened = await rig.ask('Decrypt', { ciphertextBlob, encryptionContext })
      expect(opened.plaintext).to.have.lengthOf(bytes)
      expect(opened.plaintext).not.to.deep.equal(Buffer.alloc(bytes))
    })

  it('wipes the data key before it answers', async () => {
    const seen: Buffer[] = []
    const encryptRandom = rig.custody.encryptRandom.bind(rig.custody)
    rig.custody.encryptRandom = async (...args) => {
      const sealed = await encryptRandom(...args)
      seen.push(sealed.plaintext)
      return sealed
    }
    await generate()
    expect(seen[0]).to.deep.equal(Buffer.alloc(32))
  })

  it('needs its own permission', async () => {
    const by = caller('other', [allowing('kms:GenerateDataKey')])
    await expectKmsError(generate({}, { by }), 'AccessDeniedException')
    await generate({}, { by: caller('right', [allowing(`kms:${OPERATION}`)]) })
  })

  const failures: [string, object, string][] = [
    ['KMS-40: both sizes', { numberOfBytes: 32 }, 'ValidationException'],
    ['KMS-40: no size', { keySpec: undefined }, 'ValidationException'],
    ['an unknown key', { keyId: 'nonsense' }, 'NotFoundException'],
    ['a grant token', { grantTokens: ['x'] }, 'InvalidGrantTokenException'],
    ['KMS-62: a dry run', { dryRun: true }, 'DryRunOperationException'],
  ]
  for (const [what, input, code] of failures)
    it(`${what} answers ${code} without a token call`, async () => {
      const before = rig.custody.calls.length
      await expectKmsError(generate(input), code as never)
      expect(rig.custody.calls).to.have.lengthOf(before)
    })

  for (const [state, code] of [
    ['Disabled', 'DisabledException'],
    ['PendingDeletion', 'KMSInvalidStateException'],
  ] as const)
    it(`KMS-24: a key that is ${state} answers ${code}`, async () => {
      await putInState(rig, key.arn, state)
      await expectKmsError(generate(), code)
    })
})
