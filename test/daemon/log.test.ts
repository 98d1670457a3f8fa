import { expect } from 'chai'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Sensitive } from '../../src/bytes/sensitive.ts'
import { CustodyError } from '../../src/crypto/custody-error.ts'
import { createLogger } from '../../src/daemon/log.ts'
import { capturedStream } from './captured-stream.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('log', () => {
  const directory = temporaryDirectory()

  it('writes JSON lines where no person watches, with what PKCS#11 said and without secrets', async () => {
    const { stream, text } = capturedStream()
    const logger = createLogger({ level: 'info' }, stream)
    const cause = new CustodyError('DEVICE_GONE', 'no token', { ckr: 0x30, call: 'C_Login' })
    logger.debug('not shown')
    logger.error('failed', { error: new Error('outer', { cause }), pin: new Sensitive('1234') })
    await logger.close()
    const line = JSON.parse(text()) as { error: { cause: object } }
    expect(line).include({ level: 'error', message: 'failed', pin: '[redacted]' })
    expect(line.error.cause).include({ code: 'DEVICE_GONE', ckr: 0x30, call: 'C_Login' })
    expect(text()).not.include('1234')
  })

  it('writes into a file of mode 0600', async () => {
    const file = join(directory, 'hsm-bridge.log')
    const logger = createLogger({ level: 'info', file }, capturedStream().stream)
    logger.info('hello', { a: 1 })
    await logger.close()
    expect(JSON.parse(readFileSync(file, 'utf8'))).include({ message: 'hello', a: 1 })
    expect(statSync(file).mode & 0o777).equal(0o600)
  })
})
