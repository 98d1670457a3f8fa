import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { LaneProcess } from '../../src/token/lane-process.ts'
import { eventually } from '../support/daemon-under-test.ts'

const LANE_PROCESS = fileURLToPath(new URL('../../src/token/lane-process.ts', import.meta.url))

/** Makes a lane in a process that has used up its descriptors, and tells what became of both. */
const WITHOUT_DESCRIPTORS = `
  import { openSync, closeSync } from 'node:fs'
  const { LaneProcess } = await import(process.argv[1])
  const told = []
  const options = {
    name: 'hot-1',
    environment: {},
    callsPerLane: 1,
    onGone: (lane, cause) => told.push('gone: ' + cause),
    onDeadline: () => told.push('late'),
    onLog: () => undefined,
  }
  // Warm: the modules that a spawn needs are loaded now.
  const first = new LaneProcess({ ...options, onGone: () => undefined })
  first.kill()
  await first.ended()
  const taken = []
  try {
    for (;;) taken.push(openSync('/dev/null'))
  } catch {}
  const free = Number(process.argv[2])
  for (const descriptor of taken.splice(0, free)) closeSync(descriptor)
  const lane = new LaneProcess(options)
  const call = lane.call('health', [], Date.now() + 5000).catch((error) => told.push(error.code))
  await lane.ended()
  await call
  lane.kill()
  lane.dismiss()
  await lane.call('health', [], Date.now() + 5000).catch((error) => told.push(error.code))
  for (const descriptor of taken) closeSync(descriptor)
  console.log(JSON.stringify({ told, gone: lane.gone, pid: lane.pid ?? null }))
`

const SCHED_BATCH = 3

/** The policy of sched(7), and the soft limit of core dumps, of a process. */
function lookAt(pid: number): { readonly policy: number; readonly core: string | undefined } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from the third on
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
  return { policy: Number(fields[38]), core: /^Max core file size\s+(\S+)/m.exec(limits)?.[1] }
}

describe('LaneProcess', () => {
  it('AT-K02: leaves no core dump, and lets the front finish what it does before it begins', async () => {
    const lane = new LaneProcess({
      name: 'hot-1',
      environment: {},
      callsPerLane: 1,
      onGone: () => undefined,
      onDeadline: () => undefined,
      onLog: () => undefined,
    })
    try {
      const { pid = 0 } = lane
      await eventually(
        () => lookAt(pid).policy === SCHED_BATCH,
        () => JSON.stringify(lookAt(pid)),
      )
      expect(lookAt(pid).core).to.equal('0')
    } finally {
      lane.kill()
      await lane.ended()
    }
  })

  for (const free of [0, 2, 4]) {
    it(`is a lost lane, and no end of the daemon, when only ${free} descriptors are left`, () => {
      const script = 'ulimit -n 128; exec "$0" "$@"'
      const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module']
      const printed = execFileSync(
        '/bin/sh',
        [
          '-c',
          script,
          process.execPath,
          ...flags,
          '-e',
          WITHOUT_DESCRIPTORS,
          LANE_PROCESS,
          String(free),
        ],
        { encoding: 'utf8', timeout: 20_000 },
      )
      const { told, ...lane } = JSON.parse(printed) as { told: string[]; [name: string]: unknown }
      expect(told[0]).to.match(/^gone: spawn .*EMFILE/)
      expect(told.slice(1)).to.deep.equal(['DEVICE_GONE', 'DEVICE_GONE'])
      expect(lane).to.deep.equal({ gone: true, pid: null })
    }).timeout(30_000)
  }
})
