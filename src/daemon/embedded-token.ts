import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Config, EMBEDDED_TOKEN_LABEL } from './config.ts'
import { makePrivateDirectory, writePrivateFile } from './private-file.ts'
import { embeddedSerialPath, tokenPlace, tokensOf } from './token-connection.ts'

const MAKE_TOKEN = fileURLToPath(new URL('../../softhsm/make-token.ts', import.meta.url))

/** Makes the SoftHSM2 token of the state directory, with a long random PIN in a 0600 file; one that exists stays. True when made. */
export async function makeEmbeddedToken(config: Config, env: NodeJS.ProcessEnv): Promise<boolean> {
  const serialPath = embeddedSerialPath(config)
  if (existsSync(serialPath)) return false
  const { directory, conf } = config.state.softHsm
  makePrivateDirectory(directory, 'stateDirectory')
  const found = existsSync(conf) ? await findByLabel(config, env) : undefined // an init that was interrupted
  writePrivateFile(serialPath, `${found ?? (await runMakeToken(config, env))}\n`)
  return found === undefined
}

async function findByLabel(config: Config, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const tokens = await tokensOf(config, tokenPlace(config, env))
  return tokens.find(({ label }) => label === EMBEDDED_TOKEN_LABEL)?.serial
}

/** In a process of its own: the front loads no PKCS#11 module (ARCH-D1). Answers the serial. */
function runMakeToken(config: Config, env: NodeJS.ProcessEnv): Promise<string> {
  const { modulePath, environment } = tokenPlace(config, env)
  const { directory, pinFile } = config.state.softHsm
  const options = [
    '--dir',
    directory,
    '--label',
    EMBEDDED_TOKEN_LABEL,
    '--pin-file',
    pinFile,
    '--module',
    modulePath,
  ]
  const child = spawn(process.execPath, [MAKE_TOKEN, ...options], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(stdout.trim())
      else
        reject(
          new Error(
            `the SoftHSM2 token could not be made: ${stderr.trim() || `exit code ${code}`}`,
          ),
        )
    })
  })
}
