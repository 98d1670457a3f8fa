import { PostgresServer } from './postgres.ts'
import { openPostgresStorage } from '../../src/storage/open-storage.ts'
process.env['HSM_BRIDGE_TEST_POSTGRES'] = 'x'
const s = new PostgresServer()
await s.start()
process.env['HSM_BRIDGE_TEST_POSTGRES'] = s.urlOf('postgres')
const { Rig } = await import('../kms/rig.ts')
const sum: Record<string, number> = {}
let t = performance.now()
const lap = (n: string) => { sum[n] = (sum[n] ?? 0) + performance.now() - t; t = performance.now() }
await (await new Rig().start()).remove()
for (let i = 0; i < 20; i++) {
  t = performance.now()
  const rig = new Rig()
  await rig.start(); lap('start')
  const k = await rig.makeKey(); lap('makeKey')
  await rig.encrypt(k.keyId); lap('first encrypt')
  await rig.ask('ScheduleKeyDeletion', { keyId: k.keyId }); lap('schedule')
  await rig.storage.close(); lap('close')
  await rig.start(); lap('reopen')
  await rig.storage.close(); lap('close')
}
for (const [k, v] of Object.entries(sum)) console.log(k, (v / 20).toFixed(1))
await s.remove()
