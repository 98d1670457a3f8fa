import { type Kill, KillLoop, type Victim, type Work } from './kill-loop.ts'
import { SeededRandom } from './seeded-random.ts'

const WORK: readonly Work[] = ['make', 'make', 'destroy'] // CreateKey and RotateKeyOnDemand run together
const SECONDS_PER_KILL = 12
const PROGRESS_EVERY = 10

/** The suite of kills in the size that its caller wants. KILLS_SEED repeats a run's choices. */
export function describeKills({ front, group }: Readonly<Record<Victim, number>>): void {
  const kills = front + group
  describe(`${front} kills of the front and ${group} of the whole process group, at random moments`, function () {
    this.timeout((60 + kills * SECONDS_PER_KILL) * 1000)
    const seed = process.env['KILLS_SEED']
    const random = new SeededRandom(seed === undefined ? undefined : Number(seed))
    let loop: KillLoop

    before(async () => {
      loop = await KillLoop.start(random)
    })
    after(() => loop.stop())

    it(`FM-F21, FM-F22, FM-F23, FM-F25: lose no acknowledged key and no token, and leave nothing unlisted (seed ${random.seed})`, async () => {
      for (const [done, kill] of mixed(front, group, random).entries()) {
        await loop.kill(kill)
        if ((done + 1) % PROGRESS_EVERY === 0) console.log(`    ${JSON.stringify(loop.tally)}`)
      }
      await loop.finish()
    })
  })
}

function mixed(front: number, group: number, random: SeededRandom): Kill[] {
  const victims = [...Array<Victim>(front).fill('front'), ...Array<Victim>(group).fill('group')]
  return victims
    .map((victim, i) => ({ victim, work: WORK[i % WORK.length] ?? 'make', at: random.next() }))
    .sort((a, b) => a.at - b.at)
}
