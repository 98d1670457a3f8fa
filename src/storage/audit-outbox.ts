import type { Kysely } from 'kysely'
import type { AuditOutbox } from '../audit/audit-outbox.ts'
import type { Tables } from './tables.ts'

/** A daemon that has left its records for so long will not come back for them. */
const ABANDONED_MS = 60 * 60 * 1000

/** The records of state changes of one daemon, and those that another one has abandoned. */
export function storedOutbox(db: Kysely<Tables>, daemon: string): AuditOutbox {
  return {
    async pending() {
      const rows = await db
        .selectFrom('audit_outbox')
        .selectAll()
        .where((its) =>
          its.or([its('daemon', '=', daemon), its('at', '<', Date.now() - ABANDONED_MS)]),
        )
        .orderBy('at')
        .orderBy('event_id')
        .execute()
      return rows.map(({ event_id: eventId, at, line: text }) => ({ eventId, at, text }))
    },
    async remove(eventIds) {
      if (eventIds.length === 0) return
      await db.deleteFrom('audit_outbox').where('event_id', 'in', eventIds).execute()
    },
  }
}
