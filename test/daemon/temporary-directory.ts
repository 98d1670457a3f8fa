import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A fresh directory of mode 0700, removed after the suite's tests. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'hsm-bridge-daemon-'))
  after(() => rmSync(path, { recursive: true, force: true }))
  return path
}
