import { expect } from 'chai'
import { holdChanges } from '../../src/daemon/change-gate.ts'
import type { Kms, KmsRequest } from '../../src/kms/kms.ts'

describe('change gate', () => {
  const performed: string[] = []
  const kms: Kms = {
    perform: async ({ operation }) => {
      performed.push(operation)
      return undefined
    },
  }
  const ask = (gated: Kms, operation: string) => gated.perform({ operation } as KmsRequest)

  it('FM-F30: lets uses pass and holds changes until database and token were compared', async () => {
    const compared = Promise.withResolvers<void>()
    const gated = holdChanges(kms, compared.promise)
    const change = ask(gated, 'CreateKey')
    await ask(gated, 'Decrypt')
    expect(performed).deep.equal(['Decrypt'])
    compared.resolve()
    await change
    expect(performed).deep.equal(['Decrypt', 'CreateKey'])
  })

  it('FM-F30: knows every operation that changes keys', async () => {
    const compared = Promise.withResolvers<void>()
    const gated = holdChanges(kms, compared.promise)
    performed.length = 0
    const changes = ['EnableKeyRotation', 'DisableKeyRotation', 'RotateKeyOnDemand']
    const asked = changes.map((name) => ask(gated, name))
    await ask(gated, 'ReEncrypt')
    expect(performed).deep.equal(['ReEncrypt'])
    compared.resolve()
    await Promise.all(asked)
    expect(performed).to.have.members(['ReEncrypt', ...changes])
  })

  it('holds nothing back when the comparison failed: storage refuses then', async () => {
    const gated = holdChanges(kms, Promise.reject(new Error('token down')))
    await ask(gated, 'RotateKeyOnDemand')
    expect(performed.at(-1)).equal('RotateKeyOnDemand')
  })
})
