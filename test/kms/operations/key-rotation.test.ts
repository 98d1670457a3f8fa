import { expect } from 'chai'
import type { OperationName } from '../../../src/kms/operation-names.ts'
import { exceptionOf } from '../exception-of.ts'
import { putInState } from '../keys-in-state.ts'
import {
  ACCOUNT,
  ALICE,
  allowing,
  caller,
  expectKmsError,
  OTHER_ACCOUNT,
  REGION,
  Rig,
  statement,
} from '../rig.ts'

const DAY_MS = 24 * 60 * 60 * 1000

describe('operations of automatic rotation', () => {
  let rig: Rig
  let key: { keyId: string; arn: string }
  beforeEach(async () => {
    rig = await new Rig().start()
    key = await rig.makeKey()
    await rig.kms.heartbeat.beat()
  })
  afterEach(() => rig.remove())

  const enable = (rotationPeriodInDays?: number, by = ALICE) =>
    rig.ask('EnableKeyRotation', { keyId: key.keyId, rotationPeriodInDays }, { by })
  const disable = () => rig.ask('DisableKeyRotation', { keyId: key.keyId })
  const status = () => rig.ask('GetKeyRotationStatus', { keyId: key.keyId })
  const list = (input: object = {}) => rig.ask('ListKeyRotations', { keyId: key.keyId, ...input })

  describe('GetKeyRotationStatus', () => {
    const off = () => ({ keyId: key.arn, keyRotationEnabled: false })
    const on = (rotationPeriodInDays: number, from: number) => ({
      keyId: key.arn,
      keyRotationEnabled: true,
      rotationPeriodInDays,
      nextRotationDate: new Date(from + rotationPeriodInDays * DAY_MS),
    })

    it('KMS-44: shows two members while rotation is off and four while it is on', async () => {
      expect(await status()).to.deep.equal(off())
      expect(await enable()).to.equal(undefined)
      expect(await status()).to.deep.equal(on(365, rig.clock.now()))
      expect(await disable()).to.equal(undefined)
      expect(await status()).to.deep.equal(off())
    })

    it('KMS-44: the date moves only when the period does', async () => {
      const start = rig.clock.now()
      await enable(90)
      rig.clock.pass(DAY_MS)
      await enable(90)
      expect(await status(), 'the same period again').to.deep.equal(on(90, start))
      await enable()
      expect(await status(), 'no period keeps the one that is set').to.deep.equal(on(90, start))
      await enable(2560)
      expect(await status(), 'another period').to.deep.equal(on(2560, start + DAY_MS))
      await disable()
      await enable()
      expect(await status(), 'turned on again').to.deep.equal(on(365, start + DAY_MS))
    })

    it('KMS-44: survives a restart', async () => {
      await enable(90)
      const before = await status()
      await rig.restart()
      expect(await status()).to.deep.equal(before)
    })

    it('KMS-45: an on-demand rotation leaves the date where it is', async () => {
      await enable(90)
      const before = await status()
      rig.clock.pass(DAY_MS)
      await rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
      expect(await status()).to.deep.equal(before)
    })

    it('KMS-44: a disabled key keeps its status, one that is pending deletion hides it until it is saved', async () => {
      await enable(90)
      const before = await status()
      await putInState(rig, key.arn, 'Disabled')
      expect(await status()).to.deep.equal(before)
      await putInState(rig, key.arn, 'PendingDeletion')
      expect(await status()).to.deep.equal(off())
      await putInState(rig, key.arn, 'Enabled')
      expect(await status()).to.deep.equal(before)
    })

    it('answers another account that both policies admit, and no stranger', async () => {
      const by = caller('bob', undefined, { accountId: OTHER_ACCOUNT })
      const policy = statement(
        {
          Effect: 'Allow',
          Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
          Action: 'kms:*',
          Resource: '*',
        },
        {
          Effect: 'Allow',
          Principal: { AWS: by.arn },
          Action: ['kms:GetKeyRotationStatus', 'kms:ListKeyRotations', 'kms:EnableKeyRotation'],
          Resource: '*',
        },
      )
      const shared = await rig.makeKey({ policy })
      const ask = (name: OperationName, keyId: string) => rig.ask(name, { keyId }, { by })
      expect(await ask('GetKeyRotationStatus', shared.arn)).to.have.property('keyRotationEnabled')
      await expectKmsError(ask('GetKeyRotationStatus', key.arn), 'AccessDeniedException')
      for (const name of ['ListKeyRotations', 'EnableKeyRotation'] as const)
        await expectKmsError(ask(name, shared.arn), 'AccessDeniedException')
    })
  })

  describe('EnableKeyRotation', () => {
    it('tells policies the period, 365 when there is none, whatever is set', async () => {
      const by = caller('bound', [
        statement(
          { Effect: 'Allow', Action: 'kms:*', Resource: '*' },
          {
            Effect: 'Deny',
            Action: 'kms:EnableKeyRotation',
            Resource: '*',
            Condition: { Null: { 'kms:RotationPeriodInDays': 'true' } },
          },
        ),
      ])
      await enable(90, by)
      await enable(undefined, by)
    })
  })

  describe('ListKeyRotations', () => {
    const rotate = () => rig.ask('RotateKeyOnDemand', { keyId: key.keyId })
    const materialIds = () =>
      rig.storage.snapshot.materialsOf(key.arn).map(({ material }) => material.materialId)

    it('lists nothing before the first rotation, and the first material when asked for', async () => {
      expect(await list()).to.deep.equal({ rotations: [], truncated: false })
      const [keyMaterialId] = materialIds()
      expect(await list({ includeKeyMaterial: 'ALL_KEY_MATERIAL' })).to.deep.equal({
        rotations: [{ keyId: key.arn, keyMaterialId, keyMaterialState: 'CURRENT' }],
        truncated: false,
      })
    })

    it('lists rotations by age, with date, type and state', async () => {
      await enable(90)
      rig.clock.pass(DAY_MS)
      await rotate()
      const onDemand = rig.clock.now()
      rig.clock.pass(90 * DAY_MS)
      await rig.kms.heartbeat.accept()
      await rig.kms.rotation.rotateDueKeys()
      const [first, second, third] = materialIds()
      const entry = (keyMaterialId: string | undefined, keyMaterialState: string) => ({
        keyId: key.arn,
        keyMaterialId,
        keyMaterialState,
      })
      const rotations = [
        {
          ...entry(second, 'NON_CURRENT'),
          rotationDate: new Date(onDemand),
          rotationType: 'ON_DEMAND',
        },
        {
          ...entry(third, 'CURRENT'),
          rotationDate: new Date(rig.clock.now()),
          rotationType: 'AUTOMATIC',
        },
      ]
      expect(await list()).to.deep.equal({ rotations, truncated: false })
      expect(await list({ includeKeyMaterial: 'ROTATIONS_ONLY' })).to.deep.equal({
        rotations,
        truncated: false,
      })
      await rig.restart()
      expect(await list({ includeKeyMaterial: 'ALL_KEY_MATERIAL' })).to.deep.equal({
        rotations: [entry(first, 'NON_CURRENT'), ...rotations],
        truncated: false,
      })
    })

    for (const limit of [1, 2, 5, 6, 7])
      it(`gives each material once in pages of ${limit}`, async () => {
        for (let i = 0; i < 5; i++) await rotate()
        const seen: string[] = []
        let marker: string | undefined
        do {
          const page = await list({ limit, marker, includeKeyMaterial: 'ALL_KEY_MATERIAL' })
          expect(page.truncated).to.equal(page.nextMarker !== undefined)
          seen.push(...page.rotations.map((one: { keyMaterialId: string }) => one.keyMaterialId))
          marker = page.nextMarker
        } while (marker !== undefined)
        expect(seen).to.deep.equal(materialIds())
      })

    it('KMS-60: refuses markers that are invented or of another key', async () => {
      for (let i = 0; i < 2; i++) await rotate()
      const { nextMarker } = await list({ limit: 1 })
      const other = await rig.makeKey()
      await expectKmsError(
        rig.ask('ListKeyRotations', { keyId: other.keyId, marker: nextMarker }),
        'InvalidMarkerException',
        undefined,
      )
      await expectKmsError(list({ marker: 'invalid' }), 'InvalidMarkerException', undefined)
    })
  })

  const OPERATIONS: readonly OperationName[] = [
    'EnableKeyRotation',
    'DisableKeyRotation',
    'GetKeyRotationStatus',
    'ListKeyRotations',
    'RotateKeyOnDemand',
  ]

  for (const operation of OPERATIONS)
    describe(`${operation}: what it takes`, () => {
      const changes = !/^(Get|List)/.test(operation)
      const ask = (keyId: string, by = ALICE) => rig.ask(operation, { keyId }, { by })

      it('KMS-13: a key id or a key ARN, no alias', async () => {
        await rig.ask('CreateAlias', { aliasName: 'alias/mine', targetKeyId: key.keyId })
        await ask(key.keyId)
        await ask(key.arn)
        for (const alias of ['alias/mine', `arn:aws:kms:${REGION}:${ACCOUNT}:alias/mine`])
          await expectKmsError(
            ask(alias),
            'InvalidArnException',
            'Key Aliases are not supported for this operation.',
          )
      })

      it('KMS-9: an unknown key is not found', async () => {
        const missing = '00000000-0000-4000-8000-000000000000'
        await expectKmsError(
          ask(missing),
          'NotFoundException',
          `Key 'arn:aws:kms:${REGION}:${ACCOUNT}:key/${missing}' does not exist`,
        )
      })

      for (const [state, refusal] of [
        ['Disabled', 'DisabledException'],
        ['PendingDeletion', 'KMSInvalidStateException'],
        ['Destroying', 'KMSInvalidStateException'],
      ] as const)
        it(`KMS-25: ${changes ? 'refuses' : 'answers for'} a key that is ${state}`, async () => {
          await putInState(rig, key.arn, state)
          expect(await exceptionOf(ask(key.keyId))).to.equal(changes ? refusal : undefined)
        })

      it('needs its own permission', async () => {
        const by = caller('other', [allowing('kms:DescribeKey')])
        await expectKmsError(
          ask(key.keyId, by),
          'AccessDeniedException',
          `User: ${by.arn} is not authorized to perform: kms:${operation} on resource: ${key.arn} because no identity-based policy allows the kms:${operation} action`,
        )
      })
    })
})
