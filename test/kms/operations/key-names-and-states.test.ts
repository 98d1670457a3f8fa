import { expect } from 'chai'
import type { KeyState } from '../../../src/kms/key-state.ts'
import type { OperationName } from '../../../src/kms/operation-names.ts'
import { defaultKeyPolicy } from '../../../src/policy/default-key-policy.ts'
import { putInState } from '../keys-in-state.ts'
import {
  ACCOUNT,
  ALICE,
  caller,
  expectKmsError,
  OTHER_ACCOUNT,
  REGION,
  Rig,
  statement,
} from '../rig.ts'

/** An operation on one key of one's own account: what it asks for beside the key, and in which states it is refused. */
interface Row {
  readonly operation: OperationName
  readonly member?: 'targetKeyId'
  readonly input?: () => object
  readonly refusedIn: readonly KeyState[]
}

const KEY_STATES: readonly KeyState[] = ['Enabled', 'Disabled', 'PendingDeletion', 'Destroying']
const GOING: readonly KeyState[] = ['PendingDeletion', 'Destroying']
let aliases = 0

const ROWS: readonly Row[] = [
  { operation: 'UpdateKeyDescription', input: () => ({ description: 'x' }), refusedIn: GOING },
  { operation: 'EnableKey', refusedIn: GOING },
  { operation: 'DisableKey', refusedIn: GOING },
  {
    operation: 'CreateAlias',
    member: 'targetKeyId',
    input: () => ({ aliasName: `alias/new-${aliases++}` }),
    refusedIn: GOING,
  },
  {
    operation: 'UpdateAlias',
    member: 'targetKeyId',
    input: () => ({ aliasName: 'alias/there' }),
    refusedIn: GOING,
  },
  {
    operation: 'TagResource',
    input: () => ({ tags: [{ tagKey: 'a', tagValue: 'b' }] }),
    refusedIn: GOING,
  },
  { operation: 'UntagResource', input: () => ({ tagKeys: ['a'] }), refusedIn: GOING },
  { operation: 'ListResourceTags', refusedIn: [] },
  { operation: 'GetKeyPolicy', refusedIn: [] },
  {
    operation: 'PutKeyPolicy',
    input: () => ({ policy: defaultKeyPolicy(ACCOUNT) }),
    refusedIn: [],
  },
  { operation: 'ListKeyPolicies', refusedIn: [] },
]

/** ListAliases names a key, but is a matter of the account: it asks no key policy and has no state. */
const NAMING: readonly Row[] = [...ROWS, { operation: 'ListAliases', refusedIn: [] }]

const UNKNOWN = '00000000-0000-4000-8000-000000000000'
const ABROAD = caller('root', [], { accountId: OTHER_ACCOUNT })
const OPEN = statement({ Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' })

describe('operations on one key', () => {
  let rig: Rig
  before(async () => {
    rig = await new Rig().start()
    for (const by of [ALICE, ABROAD]) {
      const { keyId } = await rig.makeKey({}, { by })
      await rig.ask('CreateAlias', { aliasName: 'alias/there', targetKeyId: keyId }, { by })
    }
  })
  after(() => rig.remove())

  const ask = ({ operation, member, input }: Row, keyId: string, by?: ReturnType<typeof caller>) =>
    rig.ask(operation, { [member ?? 'keyId']: keyId, ...input?.() }, by && { by })

  for (const row of ROWS)
    for (const state of KEY_STATES) {
      const refused = row.refusedIn.includes(state)
      it(`KMS-25: ${row.operation} on a key that is ${state}: ${refused ? 'refused' : 'done'}`, async () => {
        const { arn } = await rig.makeKey()
        await putInState(rig, arn, state)
        if (!refused) return void (await ask(row, arn))
        const before = rig.storage.snapshot.findKey(arn)
        await expectKmsError(
          ask(row, arn),
          'KMSInvalidStateException',
          `${arn} is pending deletion.`,
        )
        expect(rig.storage.snapshot.findKey(arn)).to.equal(before)
      })
    }

  for (const row of NAMING) {
    const name = row.operation
    it(`KMS-13: ${name} takes a key id and a key ARN`, async () => {
      const { keyId, arn } = await rig.makeKey()
      await ask(row, keyId)
      await ask(row, arn)
    })

    it(`KMS-8 KMS-9 KMS-10: ${name} names what it does not find`, async () => {
      const elsewhere = `arn:aws:kms:us-east-1:${ACCOUNT}:key/${UNKNOWN}`
      for (const [keyId, message] of [
        ['fake-key-id', "Invalid keyId 'fake-key-id'"],
        [UNKNOWN, `Key 'arn:aws:kms:${REGION}:${ACCOUNT}:key/${UNKNOWN}' does not exist`],
        [elsewhere, 'Invalid arn us-east-1'],
      ] as const)
        await expectKmsError(ask(row, keyId), 'NotFoundException', message)
    })

    it(`KMS-13: ${name} takes no alias`, async () => {
      const aliasArn = `arn:aws:kms:${REGION}:${ACCOUNT}:alias/there`
      if (row.member === 'targetKeyId') {
        for (const keyId of ['alias/there', aliasArn])
          await expectKmsError(
            ask(row, keyId),
            'ValidationException',
            'Aliases must refer to keys. Not aliases', // KMS-61
          )
        return
      }
      for (const keyId of ['alias/there', aliasArn])
        await expectKmsError(
          ask(row, keyId),
          'InvalidArnException',
          'Key Aliases are not supported for this operation.',
        )
    })

    it(`AT-Z01 AT-Z02: ${name} on a key of another account: the same whether it exists, and whatever its policy says`, async () => {
      const { arn } = await rig.makeKey({ policy: OPEN })
      const absent = arn.replace(/.{12}$/, '000000000000')
      for (const keyId of [arn, absent])
        await expectKmsError(
          ask(row, keyId, ABROAD),
          'AccessDeniedException',
          `User: ${ABROAD.arn} is not authorized to perform: kms:${name} on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`,
        )
    })
  }
})
