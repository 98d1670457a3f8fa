import { expect } from 'chai'
import { expectKmsError, Rig } from '../rig.ts'

describe('GenerateDataKey', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  before(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
  })
  after(() => rig.remove())

  const sizes: [string, object, number][] = [
    ['AES_128', { keySpec: 'AES_128' }, 16],
    ['AES_256', { keySpec: 'AES_256' }, 32],
    ['1 byte', { numberOfBytes: 1 }, 1],
    ['1024 bytes', { numberOfBytes: 1024 }, 1024],
  ]
  for (const [what, input, bytes] of sizes)
    it(`KMS-38: replies with ${what} and the same encrypted`, async () => {
      const encryptionContext = { a: 'b' }
      const reply = await rig.ask('GenerateDataKey', {
        keyId: key.keyId,
        encryptionContext,
        ...input,
      })
      expect(reply).to.have.all.keys('ciphertextBlob', 'plaintext', 'keyId', 'keyMaterialId')
      expect(reply.keyId).to.equal(key.arn)
      expect(reply.keyMaterialId).to.equal(rig.storage.snapshot.findKey(key.arn)?.currentMaterialId)
      expect(reply.plaintext).to.have.lengthOf(bytes)
      const { ciphertextBlob } = reply
      const { plaintext } = await rig.ask('Decrypt', { ciphertextBlob, encryptionContext })
      expect(plaintext).to.deep.equal(reply.plaintext)
      await expectKmsError(rig.decrypt(ciphertextBlob), 'InvalidCiphertextException')
    })

  for (const [what, input] of [
    ['both', { keySpec: 'AES_256', numberOfBytes: 32 }],
    ['neither', {}],
  ] as const)
    it(`KMS-40: refuses ${what} of KeySpec and NumberOfBytes`, async () => {
      await expectKmsError(
        rig.ask('GenerateDataKey', { keyId: key.keyId, ...input }),
        'ValidationException',
        'Please specify either number of bytes or key spec.',
      )
    })
})
