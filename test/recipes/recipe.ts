import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const FOLDER = join(import.meta.dirname, '..', '..', 'docs', 'recipes')
const FENCED = /^```(\S+)[ ]?(\S*)\n(.*?)^```$/gms
/** What the recipes' commands need from the machine. */
const PROGRAMS = ['/usr/bin/aws', '/usr/bin/openssl'] as const

/** Commands of a recipe that belong together, and what they print, where it says so. */
export interface Commands {
  readonly text: string
  readonly printed: string | undefined
}

export interface Recipe {
  readonly title: string
  /** In order; all of them run in one shell. */
  readonly commands: readonly Commands[]
  /** Blocks that carry a file name. */
  readonly files: ReadonlyMap<string, string>
}

/** Reads `docs/recipes/<name>.md`: `sh` blocks are commands, a `text` block behind one is what it prints. */
export function readRecipe(name: string): Recipe {
  const page = readFileSync(join(FOLDER, `${name}.md`), 'utf8')
  const commands: { text: string; printed: string | undefined }[] = []
  const files = new Map<string, string>()
  for (const [, language, file, text = ''] of page.matchAll(FENCED)) {
    const last = commands.at(-1)
    if (language === 'sh') commands.push({ text, printed: undefined })
    else if (language === 'text' && last) last.printed = text
    else if (file) files.set(file, text)
  }
  return { title: /^# (.*)$/m.exec(page)?.[1] ?? name, commands, files }
}

/** The programs that are not here. */
export function missingPrograms(): readonly string[] {
  return PROGRAMS.filter((program) => !existsSync(program))
}

/** Runs all commands in one bash, which ends at the first that fails. Answers what each block printed. */
export function runCommands(
  commands: readonly Commands[],
  directory: string,
  environment: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const mark = '--- end of block ---'
  const script = commands.map(({ text }) => `${text}echo '${mark}'\n`).join('')
  const env = { ...environment, PATH: `${dirname(process.execPath)}:/usr/bin:/bin` }
  return new Promise((resolve, reject) => {
    const args = ['--norc', '-eu', '-c', script] // bash reads its files when its input is a socket, as it is here
    execFile('/bin/bash', args, { cwd: directory, env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stdout}${stderr}`, { cause: error }))
      else resolve(stdout.split(`${mark}\n`).slice(0, -1))
    })
  })
}
