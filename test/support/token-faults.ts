import type { DaemonUnderTest } from './daemon-under-test.ts'
import type { SeededRandom } from './seeded-random.ts'

/** FM-R11: so long is a canary that worked believed. */
export const EVIDENCE_HOLDS_MS = 1100

/** What may be heard while every lane is in trouble at once. */
const OUTAGE = ['KeyUnavailableException', 'DependencyTimeoutException', 'KMSInternalException']

export interface TokenFault {
  readonly name: string
  /** Exceptions that a client may see; none where one lane alone is hit. */
  readonly allowed: readonly string[]
  /**
   * ARCH-D10 believes a canary that worked for a second: a token that turns bad within it is not noticed at its first
   * ambiguous answer. So these faults come later than that.
   */
  readonly afterEvidence?: true
  inject(daemon: DaemonUnderTest, random: SeededRandom): void
}

const USES = ['C_EncryptInit', 'C_Encrypt', 'C_DecryptInit', 'C_Decrypt', 'C_GenerateRandom']

/** A fault of one call of one lane, by the rule that follows the function's name. */
const once = (name: string, action: string, calls = USES): TokenFault => ({
  name,
  allowed: [],
  inject: ({ faults }, random) =>
    faults.rules([`${random.pick(calls)} ${action} lane=hot count=1 skip=${skip(random)}`]),
})
const skip = (random: SeededRandom) => Math.floor(random.between(0, 50))

/** One of these strikes at a time, and each finds a pool that is whole. */
export const TOKEN_FAULTS: readonly TokenFault[] = [
  once('abort', 'abort'),
  once('segmentation fault', 'segv'),
  once('exit', 'exit=3'),
  once('killed, the work done', 'kill9post'),
  once('device error', 'rv=0x30'),
  once('device error, the work done', 'rv=0x30 post'),
  once('session handle invalid', 'rv=0xb3'),
  once('session closed', 'rv=0xb0'),
  once('operation active', 'rv=0x90', ['C_EncryptInit', 'C_DecryptInit']),
  once('key handle invalid', 'rv=0x60', ['C_EncryptInit', 'C_DecryptInit']),
  once('not logged in', 'rv=0x101'),
  once('host memory', 'rv=0x2'),
  once('session count', 'rv=0xb1'),
  once('a code that nobody knows', 'rv=0x80000123'),
  once('general error', 'rv=0x5', ['C_EncryptInit', 'C_Encrypt', 'C_GenerateRandom']),
  once('all sessions closed', 'closeall'),
  once('logged out', 'logout'),
  {
    name: 'slow calls',
    allowed: [],
    inject: ({ faults }, random) =>
      faults.rules([`${random.pick(USES)} delay=15 lane=hot count=20`]),
  },
  {
    name: 'hang',
    allowed: [],
    inject: ({ faults }, random) =>
      faults.rules([`${random.pick(USES)} hang=${faults.hang('mixed').path} lane=hot count=1`]),
  },
  {
    name: 'SIGKILL',
    allowed: [],
    inject: (daemon, random) => void process.kill(random.pick(daemon.lanePids('hot')), 'SIGKILL'),
  },
  {
    name: 'device gone',
    allowed: OUTAGE,
    inject: ({ faults }) => faults.rules(['* rv=0x30 lane=hot']),
  },
  {
    name: 'general error of everything',
    allowed: OUTAGE,
    afterEvidence: true,
    inject: ({ faults }) => faults.rules(['* rv=0x5 lane=hot']),
  },
  {
    name: 'repeated random',
    allowed: OUTAGE,
    inject: ({ faults }) => faults.rules(['C_GenerateRandom repeatrandom lane=hot']),
  },
  {
    name: 'SIGKILL of every lane',
    allowed: OUTAGE,
    inject: (daemon) => daemon.lanePids('hot').forEach((pid) => void process.kill(pid, 'SIGKILL')),
  },
]
