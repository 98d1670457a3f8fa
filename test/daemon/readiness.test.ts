import { CreateKeyCommand } from '@aws-sdk/client-kms'
import { expect } from 'chai'
import { DaemonUnderTest, eventually } from '../support/daemon-under-test.ts'

describe('a daemon that has not compared database and token yet', function () {
  this.timeout(60_000)
  let daemon: DaemonUnderTest

  before(async () => {
    daemon = await DaemonUnderTest.prepare({ faults: { record: false } })
    daemon.faults.rules(['C_FindObjects rv=0x30 lane=cold']) // what the comparison lists objects with
    await daemon.serve()
  })
  after(() => daemon?.stop())

  const read = async (path: string) => {
    const answer = await fetch(daemon.ops + path)
    return { status: answer.status, text: await answer.text() }
  }
  const gauges = async () =>
    [...(await read('/metrics')).text.matchAll(/^hsm_bridge_(changes_waiting|read_only) (\d)$/gm)]
      .map(([, name, value]) => `${name} ${value}`)
      .toSorted()

  it('FM-F30: is ready for uses and says in words and numbers that changes wait; they are made when it knows', async () => {
    expect(await read('/readyz')).to.deep.equal({
      status: 200,
      text: 'ready\nchanges wait: this database has not been compared with the token yet\n',
    })
    expect(await gauges()).to.deep.equal(['changes_waiting 1', 'read_only 0'])
    const created = daemon.client().send(new CreateKeyCommand({}))
    daemon.faults.clear()
    expect((await created).KeyMetadata?.KeyState).to.equal('Enabled')
    await eventually(
      async () => (await read('/readyz')).text === 'ready\n',
      () => daemon.log(),
    )
    expect(await gauges()).to.deep.equal(['changes_waiting 0', 'read_only 0'])
  })
})
