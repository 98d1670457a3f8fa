import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'chai'
import { CKR_ROWS, type CkrClass, ckrRow } from '../../src/pkcs11/ckr.ts'
import { DaemonUnderTest, PATIENT } from '../support/daemon-under-test.ts'
import { KmsClient, outcomeOf } from '../support/kms-client.ts'
import { nativeProfile } from '../support/softhsm.ts'

interface Consequence {
  /** What a Decrypt of a good ciphertext ends with when C_Decrypt gives the code to one call. */
  readonly once: string
  /** And when it gives it to every call, the canary's included. */
  readonly always: string
  /** Lanes are recovered or replaced, which takes a moment. */
}

const CONSEQUENCES: Readonly<Record<CkrClass, Consequence>> = {
  INPUT: { once: 'ValidationException', always: 'ValidationException' },
  USAGE: { once: 'InvalidKeyUsageException', always: 'InvalidKeyUsageException' },
  UNSUPPORTED: { once: 'UnsupportedOperationException', always: 'UnsupportedOperationException' },
  // The canary and the key's own proof work right afterwards, and so does the second try: nobody is to blame.
  AMBIGUOUS: { once: 'ok', always: 'KeyUnavailableException' },
  SESSION: { once: 'ok', always: 'KMSInternalException' },
  HANDLE: { once: 'ok', always: 'KeyUnavailableException' },
  LOGIN: { once: 'ok', always: 'KeyUnavailableException' },
  CAPACITY: { once: 'ok', always: 'ThrottlingException' },
  DEVICE: { once: 'ok', always: 'KeyUnavailableException' },
  PIN: { once: 'ok', always: 'KeyUnavailableException' },
  BUG: { once: 'ok', always: 'KMSInternalException' },
}
const EVIDENCE_HOLDS_MS = 150
const TEACHING_MS = 2500
const UNKNOWN_CODE = 0x8000_0123 // some vendor's own
const { ambiguousCkrs } = nativeProfile('softhsm2')
const rowOf = (code: number) => ckrRow(code, new Set(ambiguousCkrs))

describe('FM-3.1: every return code of C_Decrypt, seen through the face', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest
  let kms: KmsClient
  let keyId: string
  let blob: string

  before(async () => {
    daemon = await DaemonUnderTest.start({ faults: { record: false }, profile: PATIENT })
    kms = new KmsClient(daemon.endpoint())
    keyId = await kms.createKey()
    blob = await kms.encrypt(keyId, Buffer.from('good'))
    await pause(TEACHING_MS) // all lanes have learned of the key: no C_Decrypt but ours
  })
  after(() => daemon.stop())
  afterEach(() => daemon.faults.clear())

  const answerUnder = async (...rules: string[]): Promise<string> => {
    daemon.faults.rules(rules)
    const answer = await outcomeOf(kms.decrypt(blob))
    daemon.faults.clear()
    return answer
  }
  const hex = (code: number) => `0x${code.toString(16)}`

  for (const { code } of [...CKR_ROWS, { code: UNKNOWN_CODE }]) {
    const { name, class: ckrClass } = rowOf(code)
    const { once } = CONSEQUENCES[ckrClass]
    it(`${name} once (${ckrClass}): ${once}, and the next request is served`, async () => {
      await daemon.whole() // a lane that starts would take the fault for itself
      if (ckrClass === 'AMBIGUOUS') await pause(EVIDENCE_HOLDS_MS) // within it a refusal is believed (FM-R11)
      expect(await answerUnder(`C_Decrypt rv=${hex(code)} lane=hot count=1`)).equal(once)
      expect(await outcomeOf(kms.decrypt(blob))).equal('ok')
    })
  }

  for (const [ckrClass, { always }] of Object.entries(CONSEQUENCES)) {
    const row = CKR_ROWS.find(({ code }) => rowOf(code).class === ckrClass)
    it(`${row?.name} always (${ckrClass}): ${always}, and serving goes on without a restart`, async () => {
      await daemon.whole()
      expect(await answerUnder(`C_Decrypt rv=${hex(row?.code ?? 0)} lane=hot`)).equal(always)
      await daemon.whole()
      expect(await outcomeOf(kms.decrypt(blob))).equal('ok')
    })
  }
})
