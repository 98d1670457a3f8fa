import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import type { WitnessedKey } from '../../src/pkcs11/witness.ts'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { callKms } from '../support/kms-request.ts'
import type { Attempt } from './thief-program.ts'

const PKCS11_TOOL = '/usr/bin/pkcs11-tool'
const WITNESS = join(import.meta.dirname, '..', 'pkcs11', 'witness-process.ts')
const THIEF = join(import.meta.dirname, 'thief-program.ts')
const KEYS = 3
const ROTATIONS = 2

/** The token's answers, by attempt: what the standard says about a sensitive key that may not leave. */
const REFUSALS: Readonly<Record<string, number>> = {
  'read CKA_VALUE': 0x11, // CKR_ATTRIBUTE_SENSITIVE
  'wrap it under a key of mine': 0x6a, // CKR_KEY_UNEXTRACTABLE
  'copy it as extractable': 0x10, // CKR_ATTRIBUTE_READ_ONLY
  'copy it as not sensitive': 0x10,
  'make it extractable': 0x10,
  'make it not sensitive': 0x10,
}

const FLAVOURS = [
  { title: 'AES_GCM', withoutGcm: false, objectsPerMaterial: 1 },
  { title: 'AES_CBC_HMAC', withoutGcm: true, objectsPerMaterial: 2 },
] as const

for (const { title, withoutGcm, objectsPerMaterial } of FLAVOURS)
  describe(`the token of a daemon, seen by others: ${title}`, () => {
    let daemon: DaemonUnderTest
    /** CKA_IDs of all key material of all KMS keys, as the daemon tells them. */
    let ids: string[]

    before(async () => {
      daemon = await DaemonUnderTest.start({ withoutGcm })
      const keyIds: string[] = []
      for (let i = 0; i < KEYS; i++) keyIds.push(await createKey(daemon))
      const [first] = keyIds
      for (let i = 0; i < ROTATIONS; i++)
        await callKms(daemon.endpoint(), { operation: 'RotateKeyOnDemand', body: { KeyId: first } })
      ids = (await Promise.all(keyIds.map((keyId) => objectIds(daemon, keyId)))).flat()
    })
    after(() => daemon.stop())

    it('holds the material of every key and rotation', () => {
      expect(new Set(ids).size).to.equal((KEYS + ROTATIONS) * objectsPerMaterial)
    })

    const testOfTool = existsSync(PKCS11_TOOL) || process.env['CI'] === 'true' ? it : it.skip
    testOfTool(
      `ARCH-D6: pkcs11-tool sees each key as sensitive, always sensitive, never extractable, local${existsSync(PKCS11_TOOL) ? '' : ` (${PKCS11_TOOL} is not here)`}`,
      () => {
        const seen = keysSeenByTool(daemon)
        expect([...seen.keys()]).to.include.members(ids)
        for (const [id, access] of seen)
          expect(access, id).to.equal('sensitive, always sensitive, never extractable, local')
      },
    )

    it('ARCH-D3, ARCH-D6: so does graphene, and no secret key of ours is otherwise', () => {
      const seen = ask<WitnessedKey[]>(daemon, WITNESS)
      expect(seen.map(({ id }) => id)).to.include.members(ids)
      for (const { id, label, ...attributes } of seen)
        expect(attributes, `${label} ${id}`).to.deep.equal({
          token: true,
          private: true,
          sensitive: true,
          alwaysSensitive: true,
          extractable: false,
          neverExtractable: true,
          local: true,
        })
    })

    it('AT-K08: who has the PIN can neither read, wrap nor copy a key, nor make it weaker', () => {
      const attempts = ask<Attempt[]>(daemon, THIEF)
      const ours = attempts.filter(({ label }) => label.startsWith('hsm-bridge:'))
      expect(ours.map(({ id }) => id)).to.include.members(ids)
      for (const { id, attempt, ckr } of ours)
        expect(ckr, `${attempt}: ${id}`).to.equal(REFUSALS[attempt])
    })

    it('and would have succeeded with a key that may leave', () => {
      const own = ask<Attempt[]>(daemon, THIEF).filter(({ label }) => label === 'thief')
      const succeeded = own.filter(({ ckr }) => ckr === 0).map(({ attempt }) => attempt)
      expect(succeeded).to.include.members(['read CKA_VALUE', 'wrap it under a key of mine'])
    })
  })

async function createKey(daemon: DaemonUnderTest): Promise<string> {
  const request = { operation: 'CreateKey', body: {} }
  const { KeyMetadata } = await callKms<{ KeyMetadata: { KeyId: string } }>(
    daemon.endpoint(),
    request,
  )
  return KeyMetadata.KeyId
}

interface Where {
  readonly materials: readonly { readonly token: { readonly objects: readonly { id: string }[] } }[]
}

async function objectIds(daemon: DaemonUnderTest, keyId: string): Promise<string[]> {
  const { materials } = JSON.parse(await daemon.cli('key', 'where', keyId, '--json')) as Where
  return materials.flatMap(({ token }) => token.objects.map(({ id }) => id))
}

/** Starts a program of ours in a process of its own: module and serial as arguments, PIN on stdin, JSON on stdout. */
function ask<Answer>({ token }: DaemonUnderTest, program: string): Answer {
  const output = execFileSync(process.execPath, [program, token.modulePath, token.serial], {
    env: token.env,
    input: token.pin,
    encoding: 'utf8',
  })
  return JSON.parse(output) as Answer
}

/** What `pkcs11-tool --list-objects` prints behind `Access:`, by CKA_ID. */
function keysSeenByTool({ token }: DaemonUnderTest): Map<string, string> {
  const { modulePath, label, env, pin } = token
  const login = ['--module', modulePath, '--token-label', label, '--login', '--pin', 'env:PIN']
  const printed = execFileSync(PKCS11_TOOL, [...login, '--list-objects', '--type', 'secrkey'], {
    env: { ...env, PIN: pin },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'], // it warns of each CKA_VALUE that it is not given
  })
  const objects = printed.split(/^(?=Secret Key Object)/m).filter((text) => text.trim() !== '')
  const field = (text: string, name: string) =>
    new RegExp(`^\\s*${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? `no ${name}`
  return new Map(objects.map((text) => [field(text, 'ID'), field(text, 'Access')]))
}
