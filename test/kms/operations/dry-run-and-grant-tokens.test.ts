import { expect } from 'chai'
import { OPERATION_SCHEMAS } from '../../../src/http/operation-schemas.ts'
import type { OperationName } from '../../../src/kms/operation-names.ts'
import { OPERATIONS } from '../../../src/kms/operations/index.ts'
import { caller, expectKmsError, Rig } from '../rig.ts'

const DRY_RUN = 'The request would have succeeded, but the DryRun option is set.'

interface Made {
  readonly keyId: string
  readonly otherKeyId: string
  readonly ciphertextBlob: Buffer
}

/** A request that succeeds, for every operation whose input has DryRun or GrantTokens. */
const REQUESTS: { readonly [Name in OperationName]?: (made: Made) => object } = {
  Decrypt: ({ ciphertextBlob }) => ({ ciphertextBlob }),
  DescribeKey: ({ keyId }) => ({ keyId }),
  Encrypt: ({ keyId }) => ({ keyId, plaintext: Buffer.from('secret') }),
  GenerateDataKey: ({ keyId }) => ({ keyId, keySpec: 'AES_256' }),
  GenerateDataKeyWithoutPlaintext: ({ keyId }) => ({ keyId, numberOfBytes: 7 }),
  ReEncrypt: ({ ciphertextBlob, otherKeyId }) => ({ ciphertextBlob, destinationKeyId: otherKeyId }),
}

describe('DryRun and GrantTokens', () => {
  let rig: Rig
  let made: Made
  before(async () => {
    rig = await new Rig().start()
    const { keyId } = await rig.makeKey()
    const other = await rig.makeKey()
    made = { keyId, otherKeyId: other.keyId, ciphertextBlob: await rig.encrypt(keyId) }
  })
  after(() => rig.remove())

  const requestOf = (operation: OperationName) => {
    const request = REQUESTS[operation]
    if (!request) throw new TypeError(`the table has no request of ${operation}`)
    return request(made)
  }
  /** What the token was asked and what storage kept: a request that is refused leaves both as they were. */
  const traces = () => [rig.custody.calls.length, rig.storage.snapshot.version]

  it('stand in the input of 17 operations of AWS’s model each', () => {
    expect([takers('DryRun').length, takers('GrantTokens').length]).to.deep.equal([17, 17])
  })

  for (const operation of supported('DryRun')) {
    it(`KMS-62, AT-Z14: ${operation} with DryRun says what would have happened, and no token is asked`, async () => {
      const before = traces()
      const dryRun = rig.ask(operation, { ...requestOf(operation), dryRun: true })
      await expectKmsError(dryRun, 'DryRunOperationException', DRY_RUN)
      expect(traces()).to.deep.equal(before)
      await rig.ask(operation, { ...requestOf(operation), dryRun: false })
      expect(rig.custody.calls.length).to.be.greaterThan(before[0] ?? 0)
    })

    it(`KMS-62: ${operation} with DryRun tells a stranger that it is denied`, async () => {
      const before = traces()
      const request = { ...requestOf(operation), dryRun: true }
      const outcome = rig.ask(operation, request, { by: caller('mallory', []) })
      await expectKmsError(outcome, 'AccessDeniedException')
      expect(traces()).to.deep.equal(before)
    })

    it(`KMS-62: ${operation} with DryRun tells of a disabled key`, async () => {
      await rig.ask('DisableKey', { keyId: made.keyId })
      try {
        const outcome = rig.ask(operation, { ...requestOf(operation), dryRun: true })
        await expectKmsError(outcome, 'DisabledException')
      } finally {
        await rig.ask('EnableKey', { keyId: made.keyId })
      }
    })
  }

  for (const operation of supported('GrantTokens')) {
    if (operation === 'DescribeKey') continue // its model has no InvalidGrantTokenException
    it(`${operation} refuses a grant token that names no grant, and takes an empty list`, async () => {
      const before = traces()
      for (const more of [{}, { dryRun: true }]) {
        const request = { ...requestOf(operation), ...more, grantTokens: ['token'] }
        await expectKmsError(rig.ask(operation, request), 'InvalidGrantTokenException')
      }
      expect(traces()).to.deep.equal(before)
      await rig.ask(operation, { ...requestOf(operation), grantTokens: [] })
    })

    it(`${operation} tells a stranger nothing about grant tokens`, async () => {
      const request = { ...requestOf(operation), grantTokens: ['token'] }
      const outcome = rig.ask(operation, request, { by: caller('mallory', []) })
      await expectKmsError(outcome, 'AccessDeniedException')
    })
  }

  it('DescribeKey lets a grant token that names no grant change nothing', async () => {
    const request = { ...requestOf('DescribeKey'), grantTokens: ['token'] }
    expect(await rig.ask('DescribeKey', request)).to.deep.equal(
      await rig.ask('DescribeKey', requestOf('DescribeKey')),
    )
    const outcome = rig.ask('DescribeKey', request, { by: caller('mallory', []) })
    await expectKmsError(outcome, 'AccessDeniedException')
  })

  it('the operations that have them and are not here yet say so, with DryRun too', async () => {
    const missing = new Set([...takers('DryRun'), ...takers('GrantTokens')])
    for (const operation of missing) {
      if (OPERATIONS.get(operation)) continue
      await expectKmsError(rig.ask(operation, { dryRun: true }), 'UnsupportedOperationException')
    }
  })
})

/** The operations whose input has the member, by AWS's own model. */
function takers(member: 'DryRun' | 'GrantTokens'): OperationName[] {
  return [...OPERATION_SCHEMAS].flatMap(([operation, { input }]) => {
    const [, , , , members] = input.getSchema() as unknown as [0, 0, 0, 0, readonly string[]]
    return members.includes(member) ? [operation] : []
  })
}

function supported(member: 'DryRun' | 'GrantTokens'): OperationName[] {
  return takers(member).filter((operation) => OPERATIONS.get(operation))
}
