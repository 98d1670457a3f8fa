import { existsSync, readFileSync } from 'node:fs'
import * as z from 'zod'
import { parseBase64 } from '../../bytes/base64.ts'
import { reportBlob } from '../blob-report.ts'
import { defineCommand } from '../command.ts'
import { printMaterial } from './print-material.ts'

export const blobInspect = defineCommand({
  name: 'blob inspect',
  summary: 'tell of a ciphertext which key made it and whether it would open',
  argument: { name: '<ciphertext>', summary: 'Base64, a file, or - for standard input' },
  flags: [],
  where: 'either',
  parameters: z.strictObject({ ciphertext: z.base64() }),
  prepare: ({ ciphertext }) => ({
    ciphertext: readCiphertext(String(ciphertext)).toString('base64'),
  }),
  perform: (installation, { ciphertext }) =>
    reportBlob(installation, Buffer.from(ciphertext, 'base64')),
  print: (blob, page) => {
    page.check(blob.headerIntact, 'header intact', blob.because)
    if (!blob.headerIntact) return
    page.facts([
      ['version', String(blob.version)],
      ['scheme', blob.scheme ?? ''],
      ['material', blob.materialId ?? ''],
      ['bytes', `${blob.ivBytes} of IV, ${blob.ciphertextBytes} of ciphertext`],
      ['key', blob.keyArn === undefined ? 'unknown' : `${blob.keyArn} (${blob.keyState})`],
    ])
    if (blob.material) printMaterial(page, blob.material)
    page.line()
    page.check(blob.wouldOpen, `would ${blob.wouldOpen ? '' : 'not '}open: ${blob.because}`)
  },
  succeeded: ({ wouldOpen }) => wouldOpen,
})

/** Files and standard input may hold the bytes themselves or their Base64, as the AWS CLI writes it. */
function readCiphertext(given: string): Buffer {
  if (given !== '-' && !existsSync(given)) {
    const bytes = parseBase64(given)
    if (!bytes) throw new Error('the ciphertext is neither a file nor Base64')
    return bytes
  }
  const content = readFileSync(given === '-' ? process.stdin.fd : given)
  return parseBase64(content.toString('latin1').trim()) ?? content
}
