import * as z from 'zod'
import { defineCommand } from '../command.ts'
import { reconcile } from '../reconcile.ts'

export const reconcileCommand = defineCommand({
  name: 'reconcile',
  summary: 'list every difference between storage and token; destroys nothing by inference',
  flags: [
    {
      flags: '--destroy-uncommitted',
      summary: 'destroy objects that our own unfinished make-intents of an earlier process name',
    },
  ],
  where: 'either',
  parameters: z.strictObject({ destroyUncommitted: z.boolean() }),
  prepare: ({ destroyUncommitted }) => ({ destroyUncommitted: destroyUncommitted === true }),
  perform: (installation, options) => reconcile(installation, options),
  print: (it, page) => {
    const section = (title: string, lines: readonly string[], nextStep?: string): void => {
      page.check(
        lines.length === 0,
        `${title}: ${lines.length === 0 ? 'none' : lines.length}`,
        nextStep,
      )
      for (const line of lines) page.line(`    ${line}`)
    }
    section(
      'unfinished intents',
      it.openIntents.map(
        (intent) =>
          `${intent.createdAt} ${intent.kind} ${intent.keyArn}: ${intent.objectsInToken} object(s) in the token` +
          (intent.leftover ? '' : ' (being worked on)'),
      ),
      'destroy-intents finish by themselves; make-intents: hsm-bridge reconcile --destroy-uncommitted',
    )
    section(
      'keys of ours in the token that this database does not know, and half-made objects',
      it.unknownObjects.map(named),
      'if this database is older than the token: hsm-bridge rebuild; else they are leftovers',
    )
    section(
      'records of materials that this database does not know',
      it.unknownRecords.map(({ keyId, materialId }) => `${keyId} material ${materialId}`),
      'hsm-bridge rebuild',
    )
    section(
      'records that are not authentic',
      it.unauthenticRecords,
      'nothing is believed of them; look who writes into this token',
    )
    section(
      'materials that the token does not show',
      it.missingMaterials.map(
        ({ keyArn, missingObjectIds }) => `${keyArn}: ${missingObjectIds.join(', ')}`,
      ),
      'restore the token, or mount the right one: the keys stay as they are meanwhile',
    )
    if (it.foreignObjects.length > 0)
      page.line(`keys of other programs in the same token: ${it.foreignObjects.length}`)
    for (const object of it.foreignObjects) page.line(`    ${named(object)}`)
    if (it.destroyed.length > 0)
      page.line(`Destroyed what ${it.destroyed.length} intent(s) had left.`)
  },
  // Keys of other programs are no difference: a token is rarely ours alone.
  succeeded: (it) =>
    it.unknownObjects.length +
      it.unknownRecords.length +
      it.unauthenticRecords.length +
      it.missingMaterials.length +
      it.openIntents.filter(({ leftover }) => leftover).length ===
    0,
})

function named({ id, label }: { readonly id: string; readonly label: string }): string {
  return `CKA_ID ${id || '(none)'} ${label || '(no label)'}`
}
