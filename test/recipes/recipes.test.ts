import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { DaemonUnderTest } from '../support/daemon-under-test.ts'
import { missingPrograms, readRecipe, runCommands } from './recipe.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** Each page of docs/recipes, and how many of its blocks say what they print. */
const RECIPES = [
  { name: 'envelope-with-openssl', outputs: 2 },
  { name: 'from-localstack-or-moto', outputs: 2 },
  { name: 'rotate-by-alias', outputs: 3 },
] as const

describe('recipes', function () {
  this.timeout(60_000)
  const recipes = RECIPES.map((row) => ({ ...row, recipe: readRecipe(row.name) }))
  let directory = ''
  let daemon: DaemonUnderTest

  it('are all tested', () => {
    const pages = readdirSync(join(ROOT, 'docs', 'recipes')).toSorted()
    const here = RECIPES.map(({ name }) => `${name}.md`)
    expect(pages).to.deep.equal([...here, 'xks-in-production.md']) // has a test of its own
  })

  const missing = missingPrograms()
  if (missing.length > 0) {
    if (process.env['CI'] !== 'true') it.skip(`${missing.join(', ')} is not here`)
    else
      it('find their programs on this machine', () => {
        throw new Error(`${missing.join(', ')} is not here`)
      })
    return
  }

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hsm-bridge-recipes-'))
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    for (const [file, text] of recipes.flatMap(({ recipe }) => [...recipe.files]))
      writeFileSync(join(directory, file), text, { mode: 0o600 })
    daemon = await DaemonUnderTest.start({ config: { seed: join(directory, 'seed.yaml') } })
  })
  after(async () => {
    await daemon?.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  for (const { outputs, recipe } of recipes)
    it(`“${recipe.title}”: every command works and prints what the page says`, async () => {
      const { commands } = recipe
      expect(commands.filter(({ printed }) => printed !== undefined)).to.have.length(outputs)
      const environment = { ...daemon.clientEnvironment(), HSM_BRIDGE_ENDPOINT: daemon.kms }
      const printed = await runCommands(commands, directory, environment)
      expect(printed).to.have.length(commands.length)
      for (const [index, block] of commands.entries())
        if (block.printed !== undefined) expect(printed[index]).to.equal(block.printed)
    })
})
