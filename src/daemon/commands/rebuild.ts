import * as z from 'zod'
import type { ExternalFacts } from '../../crypto/external-facts.ts'
import { LAST_ENCRYPTION } from '../../kms/encryption-budget.ts'
import type { StorageSnapshot } from '../../storage/storage.ts'
import { defineCommand } from '../command.ts'
import type { Page } from '../page.ts'
import { rebuild } from '../rebuild.ts'

export const rebuildCommand = defineCommand({
  name: 'rebuild',
  summary: 'put into a lost or old database what the token’s own records tell',
  flags: [],
  where: 'alone',
  makesState: true,
  parameters: z.strictObject({}),
  prepare: () => ({}),
  perform: async (installation) => {
    const report = await rebuild(installation)
    const { keysAdded, keysDisabled } = report
    const { snapshot } = installation.storage
    return { ...report, ...externalReport(snapshot, [...keysAdded, ...keysDisabled]) }
  },
  print: (it, page) => {
    page.facts([
      ['token', it.tokenSerial],
      ['instance', it.instanceId],
      ['token write', String(it.lineage)],
      ['keys added', String(it.keysAdded.length)],
      ['materials added', String(it.materialsAdded)],
      ['administrator', it.administratorRestored ? 'put back' : 'was there'],
    ])
    for (const arn of it.keysAdded) page.line(`    ${arn}`)
    if (it.keysAdded.some((arn) => arn.startsWith('arn:aws:'))) {
      page.line(
        'KMS keys are Enabled under the default key policy: put their policies and descriptions back.',
      )
    }
    printExternalKeys(it, page)
    page.check(
      it.refusedRecords.length === 0,
      'every record was authentic',
      it.refusedRecords.join(', '),
    )
  },
})

/** What an operator has to decide about external keys before AWS KMS may use them. */
interface ExternalReport {
  /** Keys that were added, or were in a database that is older than the token; Disabled. The pin is maybe an old one, or missing. */
  readonly externalKeys: readonly { readonly name: string; readonly kmsKeyArn: string | null }[]
  /** Adopted keys, added or not, whose encryptions nobody knows: they decrypt only. */
  readonly keysToRotate: readonly string[]
}

function externalReport(snapshot: StorageSnapshot, arns: readonly string[]): ExternalReport {
  const toLookAt = new Set(arns)
  const all = [...snapshot.allKeys()]
    .flatMap(({ arn, region, currentMaterialId, external }) =>
      external ? [{ ...external, arn, region, currentMaterialId, name: nameOf(external) }] : [],
    )
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return {
    externalKeys: all
      .filter(({ arn }) => toLookAt.has(arn))
      .map(({ name, kmsKeyArn }) => ({ name, kmsKeyArn: kmsKeyArn ?? null })),
    keysToRotate: all
      .filter(({ region, currentMaterialId }) => {
        const current = snapshot.findMaterial(region, currentMaterialId)
        return current !== undefined && current.encryptionsReserved >= LAST_ENCRYPTION
      })
      .map(({ name }) => name),
  }
}

function nameOf({ storeName, externalKeyId }: ExternalFacts): string {
  return `${storeName}/${externalKeyId}`
}

function printExternalKeys({ externalKeys, keysToRotate }: ExternalReport, page: Page): void {
  if (externalKeys.length > 0) {
    page.table(
      ['External key', 'Pin when its youngest material was made'],
      externalKeys.map(({ name, kmsKeyArn }) => [name, kmsKeyArn ?? 'none']),
    )
    page.line(
      'They are Disabled: no later pin is known, no state, no policy of a store, no removal of a credential.',
    )
    page.line('Make stores that are missing: hsm-bridge xks store create')
    page.line(
      'Then look at pin and store policy of these, then: hsm-bridge xks key enable <store>/<key>',
    )
  }
  if (keysToRotate.length === 0) return
  page.line('Nobody knows how often these adopted keys encrypted: they encrypt nothing until')
  for (const name of keysToRotate) page.line(`    hsm-bridge xks key rotate ${name}`)
}
