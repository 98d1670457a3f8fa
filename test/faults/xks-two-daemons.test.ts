import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { parse, stringify } from 'yaml'
import { eventually } from '../support/daemon-under-test.ts'
import { credentialFor } from '../support/describe-xks-changes.ts'
import { outcomeOf } from '../support/kms-client.ts'
import { describePostgres } from '../support/postgres.ts'
import { XksClient } from '../support/xks-client.ts'
import { STORE, XksDaemonUnderTest } from '../support/xks-daemon.ts'

const KEY = 'key'
const HOLDS_WITHIN_MS = 1000
const PLAINTEXT = Buffer.from('secret text')

describePostgres('two daemons with an XKS face on one PostgreSQL and one token', (server) => {
  let one: XksDaemonUnderTest
  let other: XksDaemonUnderTest
  let here: XksClient
  let there: XksClient

  before(async () => {
    const storageUrl = await server.createDatabase()
    one = await XksDaemonUnderTest.start({ storageUrl })
    await one.createKey(KEY)
    other = await XksDaemonUnderTest.start({ storageUrl, beside: one.daemon })
    here = new XksClient(one.endpoint())
    there = new XksClient(other.endpoint())
    await eventually(
      async () => (await outcomeOf(there.encrypt(KEY, PLAINTEXT))) === 'ok',
      () => other.daemon.log(),
    )
  })
  after(async () => {
    await other?.stop()
    await one?.stop()
  })

  /** From the answer to a change in the one daemon. */
  async function holdsSoon(call: () => Promise<unknown>, outcome: string): Promise<void> {
    const told = performance.now()
    while ((await outcomeOf(call())) !== outcome)
      expect(performance.now() - told, outcome).lessThan(HOLDS_WITHIN_MS)
  }

  it('XKS A-08, ARCH-D12: a credential given and taken in the one is known and dead in the other within 1 s', async () => {
    const credential = await credentialFor(one, STORE, other.endpoint())
    const caller = new XksClient(credential)
    await holdsSoon(() => caller.encrypt(KEY, PLAINTEXT), 'ok')
    await one.administer('xks credential remove', { accessKeyId: credential.accessKeyId })
    await holdsSoon(() => caller.encrypt(KEY, PLAINTEXT), 'AuthenticationFailedException')
  })

  it('XKS X-02, ARCH-D12: a key disabled in the one is disabled in the other within 1 s', async () => {
    const sealed = await there.encrypt(KEY, PLAINTEXT)
    await one.administer('xks key disable', { name: `${STORE}/${KEY}` })
    await holdsSoon(() => there.decrypt(KEY, sealed), 'InvalidStateException')
    await one.administer('xks key enable', { name: `${STORE}/${KEY}` })
    await holdsSoon(() => there.decrypt(KEY, sealed), 'ok')
  })

  it('XKS X-02, ARCH-D12: a store disabled in the one is disabled in the other within 1 s', async () => {
    const [name, uriPathPrefix] = ['undeclared', '/undeclared']
    await one.administer('xks store create', { name, uriPathPrefix, regions: [], enabled: true })
    const endpoint = { ...other.endpoint(), uriPathPrefix }
    const caller = new XksClient(await credentialFor(one, name, endpoint))
    const keyUsage = ['ENCRYPT', 'DECRYPT']
    await one.administer('xks key create', { name: `${name}/${KEY}`, keyUsage })
    await eventually(
      async () => (await outcomeOf(caller.encrypt(KEY, PLAINTEXT))) === 'ok',
      () => other.daemon.log(),
    )
    await one.administer('xks store disable', { name })
    await holdsSoon(() => caller.encrypt(KEY, PLAINTEXT), 'InvalidStateException')
    await one.administer('xks store enable', { name })
    await holdsSoon(() => caller.encrypt(KEY, PLAINTEXT), 'ok')
  })

  it('XKS Z-02, ARCH-D12: a policy that the one reads denies in the other within 1 s', async () => {
    const { configPath, directory } = one.daemon
    const before = readFileSync(configPath, 'utf8')
    const policyFile = join(directory, 'policy.json')
    const nobody = { Effect: 'Deny', Principal: '*', Action: 'xks:*', Resource: '*' }
    writeFileSync(policyFile, JSON.stringify({ Version: '2012-10-17', Statement: [nobody] }))
    writeFileSync(configPath, withPolicy(before, policyFile))
    await one.administer('reload', {})
    await holdsSoon(() => there.encrypt(KEY, PLAINTEXT), 'AccessDeniedException')
    writeFileSync(configPath, before)
    await one.administer('reload', {})
    await holdsSoon(() => there.encrypt(KEY, PLAINTEXT), 'ok')
  })

  it('ARCH-D12: a rotation in the one encrypts in the other within 1 s, and both open everything', async () => {
    const old = await there.encrypt(KEY, PLAINTEXT)
    await one.administer('xks key rotate', { name: `${STORE}/${KEY}` })
    const young = await here.encrypt(KEY, PLAINTEXT)
    expect(young['ciphertextMetadata']).not.equal(old['ciphertextMetadata'])
    const metadata = async () =>
      (await there.encrypt(KEY, PLAINTEXT))['ciphertextMetadata'] === young['ciphertextMetadata']
    await eventually(metadata, () => other.daemon.log(), HOLDS_WITHIN_MS)
    for (const xks of [here, there])
      for (const sealed of [old, young])
        expect(await xks.decrypt(KEY, sealed)).deep.equal(PLAINTEXT)
  })
})

function withPolicy(config: string, policyFile: string): string {
  const document = parse(config) as { xks: { stores: object[] } }
  const stores = document.xks.stores.map((store) => ({ ...store, policyFile }))
  return stringify({ ...document, xks: { ...document.xks, stores } })
}
