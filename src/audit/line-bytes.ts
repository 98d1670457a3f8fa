import { isAscii } from 'node:buffer'

const CONTROLS_OF_TERMINALS = /[\u007f-\u009f\u2028\u2029]/g
const DELETE = 0x7f

/** AT-J12: lines of JSON as bytes, without what JSON leaves as it is and terminals or line readers do not. */
export function lineBytes(lines: string): Buffer {
  const bytes = Buffer.from(lines, 'utf8')
  if (isAscii(bytes) && !bytes.includes(DELETE)) return bytes // as nearly all are
  return Buffer.from(lines.replace(CONTROLS_OF_TERMINALS, escaped), 'utf8')
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
