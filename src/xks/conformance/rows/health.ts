import { printable } from '../answer.ts'
import { assertGranted, assertHolds, assertRefused } from '../expectation.ts'
import { everyCase, nonconforming } from '../nonconformity.ts'
import type { ProxyUnderTest } from '../proxy-under-test.ts'
import type { Row, Section } from '../row.ts'

const STATUSES: readonly unknown[] = ['ACTIVE', 'DEGRADED', 'UNAVAILABLE']
const KMS_OPERATIONS = [
  'CreateCustomKeyStore',
  'ConnectCustomKeyStore',
  'UpdateCustomKeyStore',
  'KmsHealthCheck',
]

const rows: readonly Row[] = [
  {
    id: 'H-03',
    level: 'SHOULD',
    title: 'right behind a good health, a key encrypts and decrypts',
    run: async (proxy) => {
      const fleet = await fleetOf(proxy)
      assertHolds(
        fleet.some((it) => it['healthStatus'] !== 'UNAVAILABLE'),
        'a key manager that serves',
        'none',
      )
      assertGranted(await proxy.call('encrypt'))
      assertGranted(await proxy.call('decrypt'))
    },
  },
  {
    id: 'H-04',
    level: 'MUST',
    title: 'every operation of AWS KMS may ask, and none is refused by a policy',
    run: (proxy) =>
      everyCase(
        [...KMS_OPERATIONS, 'SomethingNew'].map((it) => [it, it] as const),
        async (kmsOperation) =>
          void assertGranted(await proxy.call('health', { requestMetadata: { kmsOperation } })),
      ),
  },
  {
    id: 'H-06',
    level: 'MUST',
    title: 'xksProxyFleetSize is an integer above zero',
    run: async (proxy) => {
      const { xksProxyFleetSize: size } = await healthOf(proxy)
      assertHolds(Number.isInteger(size) && Number(size) > 0, 'an integer above zero', show(size))
    },
  },
  {
    id: 'H-07',
    level: 'MUST',
    title: 'xksProxyVendor, xksProxyModel and ekmVendor are there',
    run: async (proxy) => {
      const health = await healthOf(proxy)
      await everyCase(
        ['xksProxyVendor', 'xksProxyModel', 'ekmVendor'].map((it) => [it, health[it]] as const),
        (value) => assertHolds(isText(value), 'a text', show(value)),
      )
    },
  },
  {
    id: 'H-08',
    level: 'SHOULD',
    title: 'the model tells a version',
    run: async (proxy) => {
      const { xksProxyModel } = await healthOf(proxy)
      assertHolds(/\d/.test(String(xksProxyModel)), 'product and version', show(xksProxyModel))
    },
  },
  {
    id: 'H-09',
    level: 'MUST',
    title: 'one to ten key managers, each with id, model and status, no id twice',
    run: async (proxy) => {
      const fleet = await fleetOf(proxy)
      assertHolds(fleet.length >= 1 && fleet.length <= 10, '1 to 10', String(fleet.length))
      assertHolds(new Set(fleet.map(({ id }) => id)).size === fleet.length, 'unique ids', 'doubles')
      await everyCase(
        fleet.map((it, index) => [`entry ${index}`, it] as const),
        ({ id, model, healthStatus }) => {
          assertHolds(isText(id), 'id as a text', show(id))
          assertHolds(isText(model), 'model as a text', show(model))
          assertHolds(STATUSES.includes(healthStatus), STATUSES.join(', '), show(healthStatus))
        },
      )
    },
  },
  {
    id: 'H-13',
    level: 'MUST',
    title: 'health without requestMetadata, or without its fields, is invalid',
    run: (proxy) =>
      everyCase(
        [
          ['none', { requestMetadata: undefined }],
          ['empty', { requestMetadata: {} }],
          ['null', { requestMetadata: null }],
          ['a text', { requestMetadata: 'x' }],
          ['no kmsRequestId', { requestMetadata: { kmsOperation: 'KmsHealthCheck' } }],
          ['no kmsOperation', { requestMetadata: { kmsRequestId: 'x' } }],
          ['a number', { requestMetadata: { kmsRequestId: 1, kmsOperation: 'KmsHealthCheck' } }],
        ] as const,
        async (members) =>
          assertRefused(await proxy.call('health', { members }), 'ValidationException'),
      ),
  },
]

export const HEALTH: Section = { letter: 'H', name: 'GetHealthStatus', rows }

type Members = Readonly<Record<string, unknown>>

async function healthOf(proxy: ProxyUnderTest): Promise<Members> {
  return assertGranted(await proxy.call('health'))
}

async function fleetOf(proxy: ProxyUnderTest): Promise<readonly Members[]> {
  const { ekmFleetDetails: fleet } = await healthOf(proxy)
  if (!Array.isArray(fleet)) nonconforming('ekmFleetDetails as a list', show(fleet))
  return fleet.map((it: unknown) => (typeof it === 'object' && it !== null ? (it as Members) : {}))
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function show(value: unknown): string {
  return printable(JSON.stringify(value) ?? 'none').slice(0, 200)
}
