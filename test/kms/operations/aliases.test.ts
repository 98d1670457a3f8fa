import { expect } from 'chai'
import { newTrail } from '../../../src/kms/audit-trail.ts'
import type { Caller } from '../../../src/kms/caller.ts'
import type { Key } from '../../../src/kms/key.ts'
import type { OperationName } from '../../../src/kms/operation-names.ts'
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

const ORDERS = 'alias/orders'
const ORDERS_ARN = `arn:aws:kms:${REGION}:${ACCOUNT}:${ORDERS}`
const NOT_FOUND = `Alias ${ORDERS_ARN} is not found.`

describe('aliases', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  let other: { keyId: string; arn: string }
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
    other = await rig.makeKey()
  })
  afterEach(() => rig.remove())

  const create = (aliasName = ORDERS, targetKeyId = key.keyId, by: Caller = ALICE) =>
    rig.ask('CreateAlias', { aliasName, targetKeyId }, { by })
  const update = (targetKeyId: string, by: Caller = ALICE) =>
    rig.ask('UpdateAlias', { aliasName: ORDERS, targetKeyId }, { by })
  const remove = (by: Caller = ALICE) => rig.ask('DeleteAlias', { aliasName: ORDERS }, { by })
  const list = async (input: object = {}) => (await rig.ask('ListAliases', input)).aliases
  const names = async (input: object = {}) =>
    (await list(input)).map(({ aliasName }: { aliasName: string }) => aliasName)

  it('CreateAlias, UpdateAlias and DeleteAlias reply nothing; ListAliases shows each alias with its dates', async () => {
    expect(await create()).to.equal(undefined)
    const creationDate = new Date(rig.clock.now())
    const row = { aliasName: ORDERS, aliasArn: ORDERS_ARN, creationDate }
    expect(await rig.ask('ListAliases')).to.deep.equal({
      aliases: [{ ...row, targetKeyId: key.keyId, lastUpdatedDate: creationDate }],
      truncated: false,
    })
    rig.clock.pass(5000)
    expect(await update(other.keyId)).to.equal(undefined)
    expect(await list()).to.deep.equal([
      { ...row, targetKeyId: other.keyId, lastUpdatedDate: new Date(rig.clock.now()) },
    ])
    expect(await remove()).to.equal(undefined)
    expect(await list()).to.deep.equal([])
  })

  it('KMS-13: every operation that takes aliases finds the key by name and by ARN, and replies with the key', async () => {
    await create()
    const blob = await rig.encrypt(key.keyId)
    for (const keyId of [ORDERS, ORDERS_ARN]) {
      const encrypted = await rig.ask('Encrypt', { keyId, plaintext: Buffer.from('secret') })
      const dataKey = await rig.ask('GenerateDataKey', { keyId, numberOfBytes: 16 })
      const opened = await rig.ask('Decrypt', { keyId, ciphertextBlob: blob })
      expect([encrypted.keyId, dataKey.keyId, opened.keyId]).to.deep.equal(Array(3).fill(key.arn))
      const { keyMetadata } = await rig.ask('DescribeKey', { keyId })
      expect(keyMetadata.arn).to.equal(key.arn)
    }
  })

  it('KMS-36: in Decrypt an alias confirms the key of the ciphertext, and an alias of another key does not', async () => {
    await create()
    const blob = await rig.encrypt(key.keyId)
    expect(await rig.decrypt(blob, { keyId: ORDERS })).to.equal('secret')
    await update(other.keyId)
    await expectKmsError(rig.decrypt(blob, { keyId: ORDERS }), 'IncorrectKeyException')
    await remove()
    await expectKmsError(rig.decrypt(blob, { keyId: ORDERS }), 'NotFoundException', NOT_FOUND)
  })

  it('a key rotated by hand: the alias encrypts under the new key, and old ciphertexts open without a key id', async () => {
    await create()
    const old = await rig.encrypt(ORDERS)
    await update(other.keyId)
    const { keyId } = await rig.ask('Encrypt', { keyId: ORDERS, plaintext: Buffer.from('x') })
    expect(keyId).to.equal(other.arn)
    expect(await rig.decrypt(old)).to.equal('secret')
  })

  it('KMS-11: what does not exist is named by its ARN', async () => {
    for (const asked of [update(key.keyId), remove(), rig.encrypt(ORDERS), rig.encrypt(ORDERS_ARN)])
      await expectKmsError(asked, 'NotFoundException', NOT_FOUND)
  })

  const refused: [string, string, Parameters<typeof expectKmsError>[1], string | undefined][] = [
    [
      'another prefix',
      'orders',
      'ValidationException',
      'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html',
    ],
    ['a name of AWS', 'alias/aws/s3', 'NotAuthorizedException', undefined],
    ['no name', 'alias/', 'InvalidAliasNameException', undefined],
    [
      'a colon',
      'alias/a:b',
      'ValidationException',
      'alias/a:b contains invalid characters for an alias',
    ],
  ]
  for (const [what, aliasName, code, message] of refused)
    it(`KMS-61: refuses ${what}`, async () => {
      const operations: OperationName[] = ['CreateAlias', 'UpdateAlias', 'DeleteAlias']
      for (const operation of operations)
        await expectKmsError(
          rig.ask(operation, { aliasName, targetKeyId: key.keyId }),
          code,
          message,
        )
      expect(await list()).to.deep.equal([])
    })

  it('KMS-61: a name exists once in an account and region', async () => {
    await create()
    const message = `An alias with the name ${ORDERS_ARN} already exists`
    for (const target of [key.keyId, other.keyId])
      await expectKmsError(create(ORDERS, target), 'AlreadyExistsException', message)
    const elsewhere = { ...ALICE, region: 'us-east-1' }
    const abroad = caller('root', [], { accountId: OTHER_ACCOUNT })
    for (const by of [elsewhere, abroad])
      await create(ORDERS, (await rig.makeKey({}, { by })).keyId, by)
    expect(await names()).to.deep.equal([ORDERS])
  })

  it('KMS-61: of many that make one name at once, one succeeds', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => create(ORDERS, i % 2 ? key.keyId : other.keyId)),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.lengthOf(1)
    expect(await list()).to.have.lengthOf(1)
  })

  it('KMS-61: an alias stays with keys of one usage', async () => {
    await create()
    const stored = rig.storage.snapshot.findKey(other.arn)
    if (!stored) return expect.fail('no key')
    const keyUsage = 'SIGN_VERIFY' as Key['keyUsage'] // the first key of another usage is made in a later version
    await rig.storage.change((draft) => draft.putKey({ ...stored, keyUsage }))
    await expectKmsError(
      update(other.keyId),
      'ValidationException',
      `Alias ${ORDERS} cannot be changed from a CMK with key usage ENCRYPT_DECRYPT to a CMK with key usage SIGN_VERIFY. The key usage of the current CMK and the new CMK must be the same.`,
    )
  })

  it('KMS-25: an alias leaves a key that is pending deletion, and none comes to one', async () => {
    await create()
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId })
    await expectKmsError(rig.encrypt(ORDERS), 'KMSInvalidStateException')
    await expectKmsError(update(key.keyId), 'KMSInvalidStateException')
    await update(other.keyId)
    await rig.encrypt(ORDERS)
    await rig.ask('ScheduleKeyDeletion', { keyId: other.keyId })
    await remove()
  })

  it('aliases go with their key, and their names are free again', async () => {
    await create()
    await create('alias/second')
    await rig.kms.heartbeat.beat()
    await rig.ask('ScheduleKeyDeletion', { keyId: key.keyId, pendingWindowInDays: 7 })
    rig.clock.pass(8 * 24 * 60 * 60 * 1000)
    await rig.kms.heartbeat.accept()
    await rig.kms.deletion.destroyDueKeys()
    expect(await list()).to.deep.equal([])
    await create(ORDERS, other.keyId)
    await rig.restart()
    expect(await names()).to.deep.equal([ORDERS])
  })

  it('a key has 50 aliases and no more, wherever they come from', async () => {
    for (let i = 0; i < 50; i++) await create(`alias/n${i}`)
    const message =
      'Aliases per key quota for this account in this region is 50, current usage is 50.'
    await expectKmsError(create(), 'LimitExceededException', message)
    await create(ORDERS, other.keyId)
    await expectKmsError(update(key.keyId), 'LimitExceededException', message)
    await rig.ask('UpdateAlias', { aliasName: 'alias/n0', targetKeyId: key.keyId }) // is there already
  })

  it('KMS-60: ListAliases gives every alias once, sorted, in pages of any size, 50 unless said', async () => {
    const all = Array.from({ length: 60 }, (_, i) => `alias/${i}`)
    for (const [i, name] of all.entries()) await create(name, i % 2 ? key.keyId : other.keyId)
    const ofKey = all.filter((_, i) => i % 2).sort()
    all.sort()
    for (const [of, limit, expected] of [
      [undefined, undefined, all],
      [undefined, 7, all],
      [undefined, 100, all],
      [key.arn, 13, ofKey],
      [key.keyId, 30, ofKey],
    ] as const) {
      const seen: string[] = []
      let marker: string | undefined
      do {
        const page = await rig.ask('ListAliases', { keyId: of, limit, marker })
        expect(page.aliases.length).to.be.at.most(limit ?? 50)
        expect(page.truncated).to.equal('nextMarker' in page)
        seen.push(...page.aliases.map((alias: { aliasName: string }) => alias.aliasName))
        marker = page.nextMarker
      } while (marker !== undefined)
      expect(seen).to.deep.equal(expected)
    }
  })

  it('KMS-60: refuses more than 100 at once, and a marker of another list', async () => {
    await expectKmsError(
      list({ limit: 101 }),
      'ValidationException',
      "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100",
    )
    for (const name of ['alias/a', 'alias/b']) await create(name)
    const { nextMarker } = await rig.ask('ListAliases', { keyId: key.keyId, limit: 1 })
    expect(await names({ keyId: key.keyId, marker: nextMarker })).to.deep.equal(['alias/b'])
    for (const input of [{ marker: nextMarker }, { keyId: other.keyId, marker: nextMarker }])
      await expectKmsError(list(input), 'InvalidMarkerException', undefined)
  })

  describe('permissions', () => {
    const on = (Resource: string, ...Action: string[]) => ({ Effect: 'Allow', Action, Resource })
    const user = (...statements: object[]) => caller('user', [statement(...statements)])
    const denied = (by: Caller, action: string, resource: string) =>
      `User: ${by.arn} is not authorized to perform: ${action} on resource: ${resource} because no identity-based policy allows the ${action} action`

    it('CreateAlias needs the alias and the key', async () => {
      const onAlias = user(on(ORDERS_ARN, 'kms:CreateAlias'))
      const onKey = user(on(key.arn, 'kms:CreateAlias'))
      const action = 'kms:CreateAlias'
      await expectKmsError(
        create(ORDERS, key.keyId, onAlias),
        'AccessDeniedException',
        denied(onAlias, action, key.arn),
      )
      await expectKmsError(
        create(ORDERS, key.keyId, onKey),
        'AccessDeniedException',
        denied(onKey, action, ORDERS_ARN),
      )
      await create(ORDERS, key.keyId, user(on(ORDERS_ARN, action), on(key.arn, action)))
    })

    it('a key policy alone gives no permission on an alias, and an identity policy none on a closed key', async () => {
      const by = caller('named', [])
      const { keyId } = await rig.makeKey({
        policy: statement(
          { Effect: 'Allow', Principal: { AWS: by.arn }, Action: 'kms:*', Resource: '*' },
          {
            Effect: 'Allow',
            Principal: { AWS: ACCOUNT },
            Action: 'kms:PutKeyPolicy',
            Resource: '*',
          },
        ),
      })
      await expectKmsError(
        create(ORDERS, keyId, by),
        'AccessDeniedException',
        denied(by, 'kms:CreateAlias', ORDERS_ARN),
      )
      await expectKmsError(create(ORDERS, keyId), 'AccessDeniedException')
      await create(ORDERS, keyId, caller('named', [statement(on(ORDERS_ARN, 'kms:*'))]))
    })

    it('UpdateAlias needs the alias, the key that it leaves and the key that it goes to', async () => {
      await create()
      const action = 'kms:UpdateAlias'
      const all = [on(ORDERS_ARN, action), on(key.arn, action), on(other.arn, action)]
      for (const [missing, resource] of [ORDERS_ARN, key.arn, other.arn].entries()) {
        const by = user(...all.toSpliced(missing, 1))
        await expectKmsError(
          update(other.keyId, by),
          'AccessDeniedException',
          denied(by, action, resource),
        )
      }
      await update(other.keyId, user(...all))
    })

    it('DeleteAlias needs the alias and its key', async () => {
      await create()
      const action = 'kms:DeleteAlias'
      const all = [on(ORDERS_ARN, action), on(key.arn, action)]
      for (const [missing, resource] of [ORDERS_ARN, key.arn].entries()) {
        const by = user(...all.toSpliced(missing, 1))
        await expectKmsError(remove(by), 'AccessDeniedException', denied(by, action, resource))
      }
      await remove(user(...all))
    })

    it('whoever may not touch an alias does not learn whether it exists', async () => {
      const by = user(on(key.arn, 'kms:*'))
      const texts = async () =>
        Promise.all(
          [update(key.keyId, by), remove(by)].map((asked) =>
            asked.catch((error: Error) => error.message),
          ),
        )
      const before = await texts()
      await create()
      expect(await texts()).to.deep.equal(before)
    })

    it('ListAliases needs an identity policy', async () => {
      const by = user(on(key.arn, 'kms:*'))
      await expectKmsError(
        rig.ask('ListAliases', {}, { by }),
        'AccessDeniedException',
        denied(by, 'kms:ListAliases', '*'),
      )
    })

    it('AT-Z09: an alias that moves while it is removed or moved takes its permissions along', async () => {
      await create()
      const { arn: closed } = await rig.makeKey()
      const action = ['kms:UpdateAlias', 'kms:DeleteAlias']
      const by = user(on(ORDERS_ARN, ...action), on(key.arn, ...action), on(other.arn, ...action))
      const moved = update(closed)
      const late = [update(other.keyId, by), remove(by)] // decided while the alias is still at an open key
      await moved
      for (const outcome of late) await expectKmsError(outcome, 'AccessDeniedException')
      expect(rig.storage.snapshot.findAlias(ORDERS_ARN)?.targetKeyArn).to.equal(closed)
    })

    it('kms:RequestAlias holds for requests by that alias, by name or ARN, and for no others', async () => {
      await create()
      const by = caller('user', [
        statement({
          ...on('*', 'kms:Encrypt'),
          Condition: { StringEquals: { 'kms:RequestAlias': ORDERS } },
        }),
      ])
      const encrypt = (keyId: string) =>
        rig.ask('Encrypt', { keyId, plaintext: Buffer.from('x') }, { by })
      await encrypt(ORDERS)
      await encrypt(ORDERS_ARN)
      await create('alias/second')
      for (const keyId of [key.keyId, key.arn, 'alias/second'])
        await expectKmsError(encrypt(keyId), 'AccessDeniedException')
    })

    it('kms:ResourceAliases holds while the key has such an alias, however it is named', async () => {
      await create('alias/team/red')
      await create('alias/second')
      const by = caller('user', [
        statement({
          ...on('*', 'kms:Encrypt'),
          Condition: { 'ForAnyValue:StringLike': { 'kms:ResourceAliases': 'alias/team/*' } },
        }),
      ])
      const encrypt = (keyId: string) =>
        rig.ask('Encrypt', { keyId, plaintext: Buffer.from('x') }, { by })
      for (const keyId of [key.keyId, key.arn, 'alias/second']) await encrypt(keyId)
      await expectKmsError(encrypt(other.keyId), 'AccessDeniedException')
      await rig.ask('UpdateAlias', { aliasName: 'alias/team/red', targetKeyId: other.keyId })
      await expectKmsError(encrypt(key.keyId), 'AccessDeniedException')
      await encrypt(other.keyId)
    })

    it('AT-Z01 AT-Z02: an alias of another account: the same whether it exists or not, until both sides agree', async () => {
      const abroad = caller('root', [], { accountId: OTHER_ACCOUNT })
      await create()
      const message = `User: ${abroad.arn} is not authorized to perform: kms:Encrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access`
      const encrypt = (keyId: string) =>
        rig.ask('Encrypt', { keyId, plaintext: Buffer.from('x') }, { by: abroad })
      for (const keyId of [ORDERS_ARN, `${ORDERS_ARN}x`])
        await expectKmsError(encrypt(keyId), 'AccessDeniedException', message)
      const policy = statement({ Effect: 'Allow', Principal: '*', Action: 'kms:*', Resource: '*' })
      await rig.ask('PutKeyPolicy', { keyId: key.keyId, policy })
      expect((await encrypt(ORDERS_ARN)).keyId).to.equal(key.arn)
      await expectKmsError(encrypt(ORDERS), 'NotFoundException') // the name alone is one of the caller's own account
    })
  })

  it('leaves a trail of alias and keys', async () => {
    const trails = [newTrail(), newTrail(), newTrail()] as const
    const aliasName = ORDERS
    await rig.ask('CreateAlias', { aliasName, targetKeyId: key.keyId }, { trail: trails[0] })
    await rig.ask('UpdateAlias', { aliasName, targetKeyId: other.keyId }, { trail: trails[1] })
    await rig.ask('DeleteAlias', { aliasName }, { trail: trails[2] })
    expect(trails.map(({ resources }) => resources)).to.deep.equal([
      [ORDERS_ARN, key.arn],
      [ORDERS_ARN, other.arn, key.arn],
      [ORDERS_ARN, other.arn],
    ])
    expect(trails[0].parameters).to.deep.equal({ aliasName, targetKeyId: key.keyId })
    expect(trails.map(({ readOnly }) => readOnly)).to.deep.equal([false, false, false])
  })

  it('seeded aliases are made once; one that was moved stays where it is', async () => {
    await rig.kms.seedAlias(ORDERS, key.arn)
    await update(other.keyId)
    await rig.kms.seedAlias(ORDERS, key.arn)
    expect(rig.storage.snapshot.findAlias(ORDERS_ARN)?.targetKeyArn).to.equal(other.arn)
    await expectKmsError(rig.kms.seedAlias('alias/x', `${key.arn}x`), 'NotFoundException')
  })
})
