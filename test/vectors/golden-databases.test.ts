import { expect } from 'chai'
import type { Reconciliation } from '../../src/daemon/reconcile.ts'
import { MIGRATIONS } from '../../src/storage/migrations.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import {
  type Exchange,
  type GoldenDatabase,
  goldenDatabases,
  type Outcome,
} from '../support/golden-database.ts'
import { remakeToken } from '../support/golden-token.ts'
import { callKms } from '../support/kms-request.ts'
import type { SoftHsmToken } from '../support/softhsm.ts'

// What there must be at the least: an empty folder must not pass.
const DATABASES = 2
const KEYS_EACH = 6
const CIPHERTEXTS_EACH = 8
const EXTERNAL_KEYS = 3

describe('golden databases', () => {
  const databases = goldenDatabases()

  it(`are ${DATABASES} at the least, numbered from 1`, () => {
    expect(databases).to.have.length.of.at.least(DATABASES)
    expect(databases.map(({ name }) => name)).to.deep.equal(
      databases.map((_, index) => `database-v${index + 1}`),
    )
  })

  it('the newest has the tables of today (if not: test/vectors/golden/README.md says how to add one)', () => {
    expect(databases.at(-1)?.facts.migrations).to.deep.equal(Object.keys(MIGRATIONS))
  })

  for (const database of databases) describeDatabase(database)
})

function describeDatabase({ name, state, facts }: GoldenDatabase): void {
  const { callers, exchanges, ciphertexts, external } = facts

  describe(`FM-F49: ${name}, of ${facts.migrations.length} migrations`, function () {
    this.timeout(60_000)
    let token: SoftHsmToken
    let daemon: DaemonUnderTest

    before(async () => {
      token = await remakeToken(facts.token)
      // Its keys were put in from outside, so a lane would refuse copies of them.
      const profile = { sessionCopies: false }
      daemon = await DaemonUnderTest.start({ token, stateFrom: state, profile })
    })
    after(async () => {
      await daemon?.stop()
      token?.remove()
    })

    const call = <T>(caller: string, operation: string, body: Record<string, unknown>) =>
      callKms<T>(daemon.endpoint(callers[caller]), { operation, body })
    const keyArns = () => [...new Set(ciphertexts.map(({ keyArn }) => keyArn))]

    it(`has ${CIPHERTEXTS_EACH} ciphertexts and facts about ${KEYS_EACH} keys at the least`, () => {
      expect(ciphertexts).to.have.length.of.at.least(CIPHERTEXTS_EACH)
      const described = exchanges.filter(({ operation }) => operation === 'DescribeKey')
      expect(described).to.have.length.of.at.least(KEYS_EACH)
      expect(described.some(({ outcome }) => 'error' in outcome)).to.equal(true)
    })

    // First: what comes after it leaves traces.
    it(`answers ${exchanges.length} requests as the version that wrote it did`, async () => {
      for (const exchange of exchanges) await expectSameOutcome(exchange, call)
    })

    for (const [index, ciphertext] of ciphertexts.entries())
      it(`opens ciphertext ${index}, of ${ciphertext.caller}, with its context alone`, async () => {
        const { caller, keyArn, CiphertextBlob, EncryptionContext, plaintext } = ciphertext
        const body = { CiphertextBlob, ...(EncryptionContext && { EncryptionContext }) }
        expect(await call(caller, 'Decrypt', body)).to.include({
          KeyId: keyArn,
          Plaintext: plaintext,
        })
        const other = { CiphertextBlob, EncryptionContext: { other: 'context' } }
        const outcome = await outcomeOf(call(caller, 'Decrypt', other))
        expect(outcome).to.include({ error: 'InvalidCiphertextException' })
      })

    if (external)
      it(`has its ${external.keys.length} external keys, their stores and credentials`, async () => {
        expect(external.keys).to.have.length.of.at.least(EXTERNAL_KEYS)
        const told = async (...words: readonly string[]): Promise<unknown> =>
          JSON.parse(await daemon.cli(...words, '--json'))
        expect(await told('xks', 'key', 'list')).to.deep.equal(external.keys)
        for (const store of external.stores)
          expect(await told('xks', 'store', 'show', store.name)).to.deep.equal(store)
        for (const { arn } of external.keys) await daemon.cli('key', 'where', arn) // exit 0: every proof opens
      })

    it('fits its token: nothing is missing, unknown or refused', async () => {
      const found = JSON.parse(await daemon.cli('reconcile', '--json')) as Reconciliation
      const { openIntents, unknownObjects, unknownRecords, unauthenticRecords, missingMaterials } =
        found
      expect(
        [openIntents, unknownObjects, unknownRecords, unauthenticRecords, missingMaterials].flat(),
      ).to.deep.equal([])
    })

    it('goes on: its keys encrypt, rotate and keep what they made, and a new key is made', async () => {
      for (const KeyId of keyArns()) {
        const caller = ciphertexts.find(({ keyArn }) => keyArn === KeyId)?.caller ?? ''
        const Plaintext = Buffer.from('today').toString('base64')
        const made = await call<Made>(caller, 'Encrypt', { KeyId, Plaintext })
        await call(caller, 'RotateKeyOnDemand', { KeyId })
        const { CiphertextBlob } = made
        expect(await call(caller, 'Decrypt', { CiphertextBlob })).to.include({ Plaintext })
      }
      const { KeyMetadata } = await call<Made>('administrator', 'CreateKey', {})
      expect(KeyMetadata.KeyState).to.equal('Enabled')
    })

    it('opens everything again after a restart', async () => {
      await daemon.terminate()
      await daemon.serve()
      for (const { caller, CiphertextBlob, EncryptionContext, plaintext } of ciphertexts) {
        const body = { CiphertextBlob, ...(EncryptionContext && { EncryptionContext }) }
        expect(await call(caller, 'Decrypt', body)).to.include({ Plaintext: plaintext })
      }
    })
  })
}

interface Made {
  readonly CiphertextBlob: string
  readonly KeyMetadata: { readonly KeyState: string }
}

async function expectSameOutcome(
  { caller, operation, input, outcome }: Exchange,
  call: (caller: string, operation: string, body: Record<string, unknown>) => Promise<unknown>,
): Promise<void> {
  const today = await outcomeOf(call(caller, operation, { ...input }))
  expect(today, `${operation} ${JSON.stringify(input)}`).to.deep.equal(outcome)
}

async function outcomeOf(call: Promise<unknown>): Promise<Outcome> {
  try {
    return { reply: await call }
  } catch (error) {
    const { name, message } = error as Error
    return { error: name, message }
  }
}
