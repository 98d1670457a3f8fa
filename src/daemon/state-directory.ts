import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Every file of ours, all below one directory of mode 0700. */
export interface StateDirectory {
  readonly path: string
  readonly configFile: string
  readonly database: string
  readonly auditDirectory: string
  /** AES-256 key that seals request-signing secrets, unless systemd hands one over. */
  readonly hostKey: string
  readonly lock: string
  readonly adminSocket: string
  readonly softHsm: {
    readonly directory: string
    readonly conf: string
    readonly pinFile: string
  }
  readonly awsCredentials: string
  readonly awsConfig: string
}

export function stateDirectory(path: string): StateDirectory {
  const softHsm = join(path, 'softhsm')
  return {
    path,
    configFile: join(path, 'config.yaml'),
    database: join(path, 'hsm-bridge.sqlite'),
    auditDirectory: join(path, 'audit'),
    hostKey: join(path, 'host.key'),
    lock: join(path, 'daemon.lock'),
    adminSocket: join(path, 'admin.sock'),
    softHsm: {
      directory: softHsm,
      conf: join(softHsm, 'softhsm2.conf'),
      pinFile: join(softHsm, 'pin'),
    },
    awsCredentials: join(path, 'aws-credentials'),
    awsConfig: join(path, 'aws-config'),
  }
}

/** Where state lives when nobody says: systemd's StateDirectory= (it sets the variable), else the home directory. */
export function defaultStateDirectory(env: NodeJS.ProcessEnv): string {
  if (env['HSM_BRIDGE_STATE']) return resolve(env['HSM_BRIDGE_STATE'])
  const fromSystemd = env['STATE_DIRECTORY']?.split(':')[0]
  return fromSystemd || join(homedir(), '.hsm-bridge')
}
