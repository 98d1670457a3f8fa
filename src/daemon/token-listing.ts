import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ModuleOptions, TokenInfo } from '../pkcs11/pkcs11-module.ts'

const LIST_TOKENS_MAIN = fileURLToPath(new URL('./list-tokens-main.ts', import.meta.url))
const PATIENCE_MS = 20_000

/**
 * The tokens that a module shows, without a login. The module is loaded in a child process: the front never loads one
 * (ARCH-D1), and one that hangs is killed. Throws Error with what the child said last.
 */
export function listTokens(
  options: ModuleOptions,
  environment: Readonly<Record<string, string>>,
): Promise<readonly TokenInfo[]> {
  const child = spawn(process.execPath, [LIST_TOKENS_MAIN], {
    env: environment,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  child.stdin.on('error', () => {}) // the exit tells more
  child.stdin.end(JSON.stringify(options))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(output.stdout) as TokenInfo[])
      else reject(new Error(reasonOf(output.stderr) ?? `the module ended with ${signal ?? code}`))
    })
  })
}

/** The line of an uncaught error that says what happened, not where. */
function reasonOf(stderr: string): string | undefined {
  return /^\w*Error\w*(?: \[\w+\])?: (.+)$/m.exec(stderr)?.[1]
}
