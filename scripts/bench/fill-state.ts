import { execFileSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AEAD_SCHEMES } from '../../src/crypto/aead-scheme.ts'
import type { Material, MaterialOrigin } from '../../src/crypto/key-custody.ts'
import { findAnchors } from '../../src/daemon/anchors.ts'
import { type Config, loadConfig } from '../../src/daemon/config.ts'
import { stateDirectory } from '../../src/daemon/state-directory.ts'
import { type TokenPlace, tokenPlace } from '../../src/daemon/token-connection.ts'
import type { KeyMaterial } from '../../src/kms/key.ts'
import { keyArn } from '../../src/kms/key-id.ts'
import type { MaterialOwner } from '../../src/kms/make-material.ts'
import { enabledKey } from '../../src/kms/new-key.ts'
import { exactlyOne, findObjects } from '../../src/pkcs11/find-object.ts'
import { aesKeyGen, hmacSha256 } from '../../src/pkcs11/mechanism.ts'
import { openModule } from '../../src/pkcs11/pkcs11-module.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import { dataObjectTemplate, secretKeyTemplate } from '../../src/pkcs11/template.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { Aead } from '../../src/token/aead.ts'
import { makeBirthProof } from '../../src/token/birth-proof.ts'
import { materialToJson } from '../../src/token/lane-protocol.ts'
import { runSteps } from '../../src/token/lane-steps.ts'
import { encodeTokenRecord, type RecordMac } from '../../src/token/token-record.ts'
import { tokenSerial } from './bench-daemon.ts'

const LAUNCHER = join(import.meta.dirname, '..', 'hsm-bridge')
const BATCH = 500
const MAC_BYTES = 32

// As lanes name what they make.
const KEY_LABEL = 'hsm-bridge:'
const RECORD_LABEL = 'hsm-bridge:record:'
const APPLICATION = 'hsm-bridge'

/**
 * Makes a state directory whose SoftHSM2 token holds `keys` KMS keys, each with its birth proof and record as CreateKey
 * makes them; a directory that this made before stays as it is. CreateKey itself would search the token several times for
 * each key: hours instead of minutes at 10,000.
 */
export function fillState(directory: string, keys: number): void {
  const complete = join(directory, `complete-${keys}-keys`)
  if (existsSync(complete)) return
  // In a process of its own: a module reads its configuration once.
  const program = [import.meta.filename, directory, String(keys)]
  execFileSync(process.execPath, program, { stdio: ['ignore', 'ignore', 'inherit'] })
  writeFileSync(complete, '')
}

/**
 * A state directory of so many keys that may be changed: the cached one stays as it was made. `directory` must not exist.
 */
export function copyFilledState(cache: string, keys: number, directory: string): void {
  const cached = join(cache, `state-${keys}-keys`)
  fillState(cached, keys)
  const isOfAProcess = /daemon\.lock|\.sock$/
  cpSync(cached, directory, { recursive: true, filter: (path) => !isOfAProcess.test(path) })
  const { conf } = stateDirectory(directory).softHsm
  writeFileSync(conf, readFileSync(conf, 'utf8').replaceAll(cached, directory), { mode: 0o600 })
}

async function fill(directory: string, keys: number): Promise<void> {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(dirname(directory), { recursive: true })
  execFileSync(LAUNCHER, ['init', '--state', directory], { stdio: ['ignore', 'ignore', 'inherit'] })
  const config = loadConfig({ stateDirectory: directory }, process.env)
  const storage = await openStorage({ path: config.databasePath })
  try {
    const maker = new KeyMaker(config, storage)
    for (let made = 0; made < keys; made += BATCH) {
      await maker.make(Math.min(BATCH, keys - made))
      if (keys > BATCH) process.stderr.write(`${made + BATCH} of ${keys} keys\n`)
    }
  } finally {
    await storage.close()
  }
}

/** Keys made in the token by this process, with the templates and proofs of the daemon. */
class KeyMaker {
  readonly #config: Config
  readonly #storage: Storage
  readonly #serial: string
  readonly #place: TokenPlace
  readonly #session: Session
  readonly #aead: Aead
  readonly #mac: RecordMac

  constructor(config: Config, storage: Storage) {
    this.#config = config
    this.#storage = storage
    this.#serial = tokenSerial(config.state)
    this.#place = tokenPlace(config, process.env)
    Object.assign(process.env, this.#place.environment) // SOFTHSM2_CONF, before the module is loaded
    const { modulePath, profile } = this.#place
    const module = openModule({ modulePath, profile })
    const session = module.openSession(module.slotOf({ serial: this.#serial }), { readWrite: true })
    module.login(session, readFileSync(config.state.softHsm.pinFile, 'utf8').trim())
    this.#session = session
    this.#aead = new Aead(profile)
    const anchors = findAnchors(storage, this.#serial)
    if (!anchors) throw new Error(`${config.state.path} has no anchors`)
    const name = {
      id: anchors.recordKeyId,
      class: 'SECRET_KEY',
      keyType: 'GENERIC_SECRET',
    } as const
    const recordKey = exactlyOne(findObjects(session, name))
    this.#mac = (input) => session.sign(hmacSha256(profile), recordKey, input, MAC_BYTES)
  }

  async make(count: number): Promise<void> {
    await this.#storage.change((draft) => {
      for (let i = 0; i < count; i++) {
        const owner = this.#newOwner()
        const made = this.#makeMaterial(owner, draft.nextLineage())
        draft.putKey(enabledKey(owner, made))
        draft.putMaterial(made)
      }
    })
  }

  #newOwner(): MaterialOwner {
    const { region, accountId } = this.#config
    const keyId = randomUUID()
    return {
      arn: keyArn(region, accountId, keyId),
      keyId,
      accountId,
      region,
      keySpec: 'SYMMETRIC_DEFAULT',
      keyUsage: 'ENCRYPT_DECRYPT',
      origin: 'AWS_KMS',
    }
  }

  #makeMaterial(owner: MaterialOwner, lineage: number): KeyMaterial {
    const { arn, ...facts } = owner
    const createdAt = Date.now()
    const material = this.#generate(owner.keyId)
    this.#writeRecord(material, { ...facts, lineage, createdAt })
    const { region } = owner
    const state = { lineage, createdAt, rotation: undefined, encryptionsReserved: 0 }
    return { keyArn: arn, region, material, ...state }
  }

  #generate(keyId: string): Material {
    const { profile } = this.#place
    const [object] = AEAD_SCHEMES.AES_GCM.objects
    const id = randomBytes(16).toString('hex')
    const options = { id, label: `${KEY_LABEL}${keyId}`, uses: ['ENCRYPT', 'DECRYPT'] as const }
    const template = secretKeyTemplate({ ...object, ...options }, profile)
    const key = this.#session.generateKey(aesKeyGen(profile), template)
    const plan = {
      materialId: randomBytes(32).toString('hex'),
      scheme: 'AES_GCM' as const,
      objects: [{ role: object.role, tokenSerial: this.#serial, keyType: object.keyType, id }],
    }
    const use = { materialId: plan.materialId, scheme: plan.scheme, objectIds: [id] }
    return { ...plan, proof: runSteps(makeBirthProof(this.#aead, this.#session, [key], use)) }
  }

  #writeRecord(material: Material, origin: MaterialOrigin): void {
    const record = { kind: 'material', material: materialToJson(material), origin } as const
    const value = encodeTokenRecord(record, this.#mac)
    const label = `${RECORD_LABEL}${material.materialId}`
    const template = { label, application: APPLICATION, value }
    this.#session.createObject(dataObjectTemplate(template, this.#place.profile))
  }
}

if (import.meta.main) {
  const [directory = '', keys] = process.argv.slice(2)
  await fill(directory, Number(keys))
}
