import { expect } from 'chai'
import { X509Certificate } from 'node:crypto'
import { ClientGate, type ProvenClient } from '../../src/http/client-gate.ts'
import { type ClientRule, TlsMaterialError } from '../../src/http/tls-material.ts'
import { TestAuthority } from '../support/certificates.ts'

const NAME = 'client'
const HOUR_MS = 3_600_000

/** A CA and what it made, once for all tests: none of them changes anything. */
async function makeWorld() {
  const root = await TestAuthority.create('root')
  const other = await TestAuthority.create('other root')
  const middle = await root.subordinate('intermediate')
  const late = new Date(Date.now() + HOUR_MS)
  const brief = await root.subordinate('brief', { notAfter: late })
  return {
    root,
    other,
    middle,
    brief,
    direct: (await root.issue({ names: [NAME], notAfter: new Date(Date.now() + 2 * HOUR_MS) }))
      .cert,
    below: (await middle.issue({ names: [NAME] })).cert,
    belowBrief: (await brief.issue({ names: [NAME] })).cert,
    renewedRoot: await root.renewed(),
    noMiddle: (await root.certify(middle, { isAuthority: false })).cert,
    middleByOther: (await other.certify(middle)).cert,
  }
}
type World = Awaited<ReturnType<typeof makeWorld>>

describe('ClientGate', () => {
  let world: World

  before(async () => {
    world = await makeWorld()
  })

  const gateOf = (rule: Partial<ClientRule> = {}) =>
    new ClientGate({ ca: world.root.cert, subjectNames: [NAME], ...rule })

  /** Who was let in by `former`, as a server sees it. */
  function proven(pems: readonly string[], former: ClientGate, commonName = NAME): ProvenClient {
    const [first, ...others] = pems.map((pem) => new X509Certificate(pem))
    if (!first) throw new TypeError('no certificate')
    return { chain: [first, ...others], commonName, trusted: former.trusted }
  }

  interface Case {
    readonly title: string
    readonly chain: (it: World) => string[]
    readonly former?: (it: World) => string
    readonly ca: (it: World) => string
    readonly revoke?: (it: World) => Promise<string[]>
    readonly afterMs?: number
    readonly admitted: boolean
  }
  const CASES: readonly Case[] = [
    { title: 'of the CA', chain: (it) => [it.direct], ca: (it) => it.root.cert, admitted: true },
    {
      title: 'of the CA, which was renewed',
      chain: (it) => [it.direct],
      ca: (it) => it.renewedRoot,
      admitted: true,
    },
    {
      title: 'of one of two CAs, when the other is gone',
      chain: (it) => [it.direct],
      former: (it) => it.root.cert + it.other.cert,
      ca: (it) => it.root.cert,
      admitted: true,
    },
    {
      title: 'of a CA that is gone',
      chain: (it) => [it.direct],
      ca: (it) => it.other.cert,
      admitted: false,
    },
    {
      title: 'of a CA that is gone, of which an intermediate one is still there',
      chain: (it) => [it.below, it.middle.cert],
      former: (it) => it.root.cert + it.middle.cert,
      ca: (it) => it.other.cert + it.middle.cert,
      admitted: false,
    },
    {
      title: 'of an intermediate CA that it sent',
      chain: (it) => [it.below, it.middle.cert],
      former: (it) => it.root.cert + it.other.cert,
      ca: (it) => it.root.cert,
      admitted: true,
    },
    {
      title: 'of an intermediate CA that two roots have signed, when one is gone',
      chain: (it) => [it.below, it.middle.cert, it.middleByOther],
      ca: (it) => it.other.cert,
      admitted: true,
    },
    {
      title: 'of an intermediate CA that Node does not show, when CAs were added',
      chain: (it) => [it.below],
      ca: (it) => it.root.cert + it.other.cert,
      admitted: true,
    },
    {
      title: 'of an intermediate CA that Node does not show, when a CA is gone: it may be that',
      chain: (it) => [it.below],
      former: (it) => it.root.cert + it.other.cert,
      ca: (it) => it.root.cert,
      admitted: false,
    },
    {
      title: 'of a certificate that may certify nobody',
      chain: (it) => [it.below, it.noMiddle],
      former: (it) => it.root.cert + it.other.cert,
      ca: (it) => it.root.cert,
      admitted: false,
    },
    {
      title: 'that has expired since',
      chain: (it) => [it.direct],
      ca: (it) => it.root.cert,
      afterMs: 3 * HOUR_MS,
      admitted: false,
    },
    {
      title: 'whose intermediate CA has expired since',
      chain: (it) => [it.belowBrief, it.brief.cert],
      former: (it) => it.root.cert + it.other.cert,
      ca: (it) => it.root.cert,
      afterMs: 1.5 * HOUR_MS,
      admitted: false,
    },
    {
      title: 'that no list names',
      chain: (it) => [it.direct],
      ca: (it) => it.root.cert,
      revoke: async (it) => [await it.root.revoke({ revoked: [it.below] })],
      admitted: true,
    },
    {
      title: 'that was revoked',
      chain: (it) => [it.direct],
      ca: (it) => it.root.cert,
      revoke: async (it) => [await it.root.revoke({ revoked: [it.direct] })],
      admitted: false,
    },
    {
      title: 'that one of two lists of its CA revokes',
      chain: (it) => [it.direct],
      ca: (it) => it.root.cert,
      revoke: async (it) => [
        (await it.root.revoke()) + (await it.root.revoke({ revoked: [it.direct] })),
      ],
      admitted: false,
    },
    {
      title: 'whose intermediate CA was revoked',
      chain: (it) => [it.below],
      ca: (it) => it.root.cert + it.middle.cert,
      revoke: async (it) => [
        await it.root.revoke({ revoked: [it.middle.cert] }),
        await it.middle.revoke(),
      ],
      admitted: false,
    },
    {
      title: 'of an intermediate CA with a list of its own',
      chain: (it) => [it.below],
      ca: (it) => it.root.cert + it.middle.cert,
      revoke: async (it) => [await it.root.revoke(), await it.middle.revoke()],
      admitted: true,
    },
    {
      title: 'of an intermediate CA without a list, now that there are lists',
      chain: (it) => [it.below, it.middle.cert],
      ca: (it) => it.root.cert,
      revoke: async (it) => [await it.root.revoke()],
      admitted: false,
    },
  ]
  for (const { title, chain, former, ca, revoke, afterMs = 0, admitted } of CASES)
    it(`AT-H12, AT-H13: ${admitted ? 'keeps' : 'does not keep'} a client ${title}`, async () => {
      const letIn = gateOf({ ca: (former ?? (() => world.root.cert))(world) })
      const crls = (await revoke?.(world)) ?? []
      const gate = gateOf({ ca: ca(world), crls })
      expect(gate.admits(proven(chain(world), letIn), Date.now() + afterMs)).equal(admitted)
    })

  it('XKS T-09: keeps nobody whose name is no longer there', () => {
    const client = proven([world.direct], gateOf())
    expect(gateOf({ subjectNames: ['x', NAME] }).admits(client, Date.now())).equal(true)
    expect(gateOf({ subjectNames: ['x'] }).admits(client, Date.now())).equal(false)
    const nameless = { ...client, commonName: undefined }
    expect(gateOf().admits(nameless, Date.now())).equal(false)
  })

  const REFUSED: readonly [string, (it: World) => Promise<Partial<ClientRule>>, string][] = [
    ['a CRL that is none', async () => ({ crls: ['x'] }), 'no CRL'],
    ['a CRL of another CA', async (it) => ({ crls: [await it.other.revoke()] }), 'none of the'],
    [
      'a CRL for one of two CAs only',
      async (it) => ({ ca: it.root.cert + it.other.cert, crls: [await it.root.revoke()] }),
      'no CRL of CN=other root',
    ],
  ]
  for (const [what, rule, words] of REFUSED)
    it(`AT-H13: refuses ${what} and says why`, async () => {
      const given = await rule(world)
      expect(() => gateOf(given))
        .throw(TlsMaterialError, words)
        .property('code', 'CLIENT_CRL')
    })

  it('AT-H13, RFC 5280 §6.3.3: knows a list that is out of date, or of tomorrow', async () => {
    const now = Date.now()
    const lists = async (thisUpdate: number, nextUpdate: number) =>
      gateOf({
        crls: [
          await world.root.revoke({
            thisUpdate: new Date(thisUpdate),
            nextUpdate: new Date(nextUpdate),
          }),
        ],
      })
    const old = await lists(now - 2 * HOUR_MS, now - HOUR_MS)
    expect(() => old.assertCurrent(now)).throw(TlsMaterialError, 'out of date')
    const early = await lists(now + HOUR_MS, now + 2 * HOUR_MS)
    expect(() => early.assertCurrent(now)).throw(TlsMaterialError, 'ahead of our clock')
    expect(() => early.assertCurrent(now + 1.5 * HOUR_MS)).not.throw()
  })
})
