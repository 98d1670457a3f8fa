/** A configuration that cannot be run with: one line for the operator, exit code 78. `code` is the option's path. */
export class ConfigError extends Error {
  readonly code: string

  constructor(option: string, message: string, options: { cause?: unknown } = {}) {
    super(option === '' ? message : `${option}: ${message}`, options)
    this.name = 'ConfigError'
    this.code = option
  }
}
