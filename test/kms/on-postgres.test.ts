import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { expect } from 'chai'
import { ENGINE_VARIABLE } from '../support/engine.ts'
import { describePostgres } from '../support/postgres.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const MOCHA = join(ROOT, 'node_modules/mocha/bin/mocha.js')
const FEWEST_TESTS = 150

interface Outcome {
  readonly stats: { readonly passes: number; readonly failures: number }
  readonly failures: readonly { readonly fullTitle: string; readonly err: { message?: string } }[]
}

describePostgres('the KMS rules on PostgreSQL', (server) => {
  it('pass every suite that they pass on SQLite', async function () {
    this.timeout(180_000)
    const { stats, failures } = await runSuites(server.urlOf('postgres'))
    const told = failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.message}`)
    expect(told).to.deep.equal([])
    expect(stats.failures).to.equal(0)
    expect(stats.passes).to.be.at.least(FEWEST_TESTS)
  })
})

/** In a process of its own: the engine is chosen by its environment. */
async function runSuites(url: string): Promise<Outcome> {
  const files = globSync('test/kms/**/*.test.ts', { cwd: ROOT, exclude: ['**/on-postgres*'] })
  const options = ['--no-config', '--timeout', '60000', '--reporter', 'json']
  const child = spawn(process.execPath, [MOCHA, ...options, ...files], {
    cwd: ROOT,
    env: { ...process.env, [ENGINE_VARIABLE]: url, MODEL_STEPS: '500' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const printed = await text(child.stdout)
  return JSON.parse(printed.slice(printed.indexOf('{\n  "stats"'))) as Outcome
}
