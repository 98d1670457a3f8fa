import type { MaterialReport } from '../key-report.ts'
import type { Page } from '../page.ts'

/** The objects of one material as the token shows them, with the proof that was opened now. */
export function printMaterial(page: Page, material: MaterialReport): void {
  page.line()
  page.heading(`Material ${material.materialId}${material.current ? ' (current)' : ''}`)
  page.facts([
    ['scheme', material.scheme],
    ['made', `${material.createdAt}, token write ${material.lineage}`],
    ['encryptions set aside', String(material.encryptionsReserved)],
  ])
  const { token } = material
  if ('problem' in token) {
    page.check(false, 'not seen in the token', token.problem)
    return
  }
  for (const object of token.objects) {
    page.facts([
      ['token serial', token.tokenSerial],
      ['object', `${object.role} key, CKA_ID ${object.id}`],
      ['label', object.label ?? ''],
      ['found', `${object.found} time(s), handle ${object.handle ?? '-'}`],
      ['attributes', formatAttributes(object.attributes)],
    ])
  }
  page.check(token.proofHolds, 'birth proof opened in the token just now', 'run: hsm-bridge doctor')
}

function formatAttributes(attributes: Readonly<Record<string, unknown>>): string {
  return Object.entries(attributes)
    .filter(([name]) => name !== 'label')
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ')
}

/** Whether the token showed every object once, and every proof opened. */
export function materialsHold(materials: readonly MaterialReport[]): boolean {
  return materials.every(
    ({ token }) =>
      'proofHolds' in token && token.proofHolds && token.objects.every(({ found }) => found === 1),
  )
}
