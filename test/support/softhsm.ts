import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { softHsmModulePath, writeSoftHsmConf } from '../../softhsm/softhsm-conf.ts'
import { parseVendorProfile } from '../../src/pkcs11/parse-vendor-profile.ts'
import type { Pkcs11Module, SlotHandle } from '../../src/pkcs11/pkcs11-module.ts'
import { openModule } from '../../src/pkcs11/pkcs11-module.ts'
import type { Session } from '../../src/pkcs11/session.ts'
import type { VendorProfile } from '../../src/pkcs11/vendor-profile.ts'

const ROOT = join(import.meta.dirname, '..', '..')

export interface SoftHsmToken {
  readonly dir: string
  readonly confPath: string
  /** Where the token's files lie: `<dir>/tokens`. */
  readonly tokenDirectory: string
  readonly modulePath: string
  readonly serial: string
  readonly label: string
  readonly pin: string
  readonly profile: VendorProfile
  /** What a process that loads the module needs in its environment. */
  readonly env: { readonly SOFTHSM2_CONF: string }
  remove(): void
}

/**
 * A fresh SoftHSM2 token in a directory of its own, for lanes and daemons: whoever loads the module does so in a process
 * started with `env`. Takes about 0.1 s. Tests that call the module in the test process take `inProcessToken`.
 */
export async function makeSoftHsmToken(
  options: { readonly withoutGcm?: boolean; readonly module?: string } = {},
): Promise<SoftHsmToken> {
  const withoutGcm = options.withoutGcm ?? false
  const dir = mkdtempSync(join(tmpdir(), 'hsm-bridge-token-'))
  const label = 'hsm-bridge-test'
  const pinFile = join(dir, 'pin')
  const args = ['--dir', dir, '--label', label, '--pin-file', pinFile]
  if (withoutGcm) args.push('--without-gcm')
  const { stdout } = await promisify(execFile)(join(ROOT, 'softhsm', 'make-token'), args)
  const confPath = join(dir, 'softhsm2.conf')
  const modulePath = options.module ?? softHsmModulePath()
  return {
    dir,
    confPath,
    tokenDirectory: join(dir, 'tokens'),
    modulePath,
    serial: stdout.trim(),
    label,
    pin: readFileSync(pinFile, 'utf8').trim(),
    profile: {
      ...nativeProfile(withoutGcm ? 'softhsm2-without-gcm' : 'softhsm2'),
      modulePath,
    },
    env: { SOFTHSM2_CONF: confPath },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** The profile `native-config/<name>.json`. */
export function nativeProfile(name: string): VendorProfile {
  const path = join(ROOT, 'native-config', `${name}.json`)
  return parseVendorProfile(JSON.parse(readFileSync(path, 'utf8')))
}

export interface InProcessToken {
  readonly module: Pkcs11Module
  readonly slot: SlotHandle
  readonly serial: string
  readonly label: string
  readonly pin: string
  readonly profile: VendorProfile
  /** Logged in, and open until the process ends, so that no other session's end logs the token out. */
  readonly anchor: Session
  /** A fresh read/write session, logged in. The test closes it. */
  openSession(): Session
}

// A process initialises a module once, with one configuration: all in-process tokens share it, each in a slot of its own.
let shared: Pkcs11Module | undefined

/** A fresh token in this very process, in the configuration that all test files of the process share. */
export function inProcessToken(): InProcessToken {
  const profile = { ...nativeProfile('softhsm2'), modulePath: softHsmModulePath() }
  shared ??= openSharedModule(profile)
  const module = shared
  const pin = randomBytes(12).toString('base64url')
  const label = `test-${randomBytes(6).toString('hex')}`
  const made = module.initToken({
    label,
    soPin: randomBytes(12).toString('base64url'),
    userPin: pin,
  })
  const slot = module.slotOf({ serial: made.serial })
  const anchor = module.openSession(slot, { readWrite: true })
  module.login(anchor, pin)
  return {
    module,
    slot,
    serial: made.serial,
    label,
    pin,
    profile,
    anchor,
    openSession: () => module.openSession(slot, { readWrite: true }),
  }
}

function openSharedModule(profile: VendorProfile): Pkcs11Module {
  const dir = mkdtempSync(join(tmpdir(), 'hsm-bridge-tokens-'))
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
  process.env['SOFTHSM2_CONF'] = writeSoftHsmConf(dir, { withoutGcm: false }).confPath
  return openModule({ modulePath: profile.modulePath, profile })
}
