import type { SecretKey } from 'graphene-pk11'
import graphene from 'graphene-pk11'

const CKF_OS_LOCKING_OK = 2

/** What somebody else's code reads from the token about one secret key. */
export interface WitnessedKey {
  readonly id: string
  readonly label: string
  readonly token: boolean
  readonly private: boolean
  readonly sensitive: boolean
  readonly alwaysSensitive: boolean
  readonly extractable: boolean
  readonly neverExtractable: boolean
  readonly local: boolean
}

/**
 * Lists every secret key of a token through graphene, as a witness that shares none of our code (ARCH-D3). It initialises,
 * logs in and finalises the module for the whole process: run it in a process of its own. Costs one C_Login.
 */
export function witnessKeys(modulePath: string, tokenSerial: string, pin: string): WitnessedKey[] {
  const module = graphene.Module.load(modulePath)
  module.initialize({ flags: CKF_OS_LOCKING_OK })
  try {
    const session = slotOf(module, tokenSerial).open(graphene.SessionFlag.SERIAL_SESSION)
    session.login(pin)
    return secretKeys(session).map(witnessed)
  } finally {
    module.finalize()
  }
}

function slotOf(module: graphene.Module, tokenSerial: string): graphene.Slot {
  const slots = module.getSlots(true)
  for (let i = 0; i < slots.length; i++) {
    const slot = slots.items(i)
    if (slot.getToken().serialNumber.trim() === tokenSerial) return slot
  }
  throw new Error(`the witness sees no token with serial ${tokenSerial}`)
}

function secretKeys(session: graphene.Session): SecretKey[] {
  const found = session.find({ class: graphene.ObjectClass.SECRET_KEY })
  return Array.from({ length: found.length }, (_, i) => found.items(i).toType<SecretKey>())
}

function witnessed(key: SecretKey): WitnessedKey {
  const said = key.getAttribute({
    id: null,
    label: null,
    token: null,
    private: null,
    sensitive: null,
    alwaysSensitive: null,
    extractable: null,
    neverExtractable: null,
    local: null,
  })
  return {
    id: said.id?.toString('hex') ?? '',
    label: said.label ?? '',
    token: said.token === true,
    private: said.private === true,
    sensitive: said.sensitive === true,
    alwaysSensitive: said.alwaysSensitive === true,
    extractable: said.extractable !== false, // unknown counts as extractable
    neverExtractable: said.neverExtractable === true,
    local: said.local === true,
  }
}
