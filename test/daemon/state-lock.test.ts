import { expect } from 'chai'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findLockHolder, StateLocked, takeStateLock } from '../../src/daemon/state-lock.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const MODULE = join(import.meta.dirname, '../../src/daemon/state-lock.ts')

describe('state lock', () => {
  const directory = temporaryDirectory()

  it('lets one process in, and the next one after it', () => {
    const path = join(directory, 'plain')
    const lock = takeStateLock(path, 'first')
    expect(() => takeStateLock(path, 'second')).throw(StateLocked, `first (pid ${process.pid})`)
    expect(findLockHolder(path)).include({ pid: process.pid, purpose: 'first' })
    lock.release()
    expect(existsSync(path)).equal(false)
    takeStateLock(path, 'second').release()
  })

  it('takes over from a process that was killed', async () => {
    const path = join(directory, 'killed')
    const child = await holderOf(path)
    expect(() => takeStateLock(path, 'x')).throw(StateLocked, `pid ${child.pid}`)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(findLockHolder(path)).equal(undefined)
    takeStateLock(path, 'x').release()
    expect(readdirSync(directory).filter((name) => name.startsWith('killed'))).deep.equal([])
  })

  it('is not held by a process that only has the same number', () => {
    const path = join(directory, 'recycled')
    writeFileSync(path, JSON.stringify({ pid: process.pid, startedTicks: '1', purpose: 'old' }))
    takeStateLock(path, 'new').release()
  })

  it('does not take away a lock that is no longer its own', () => {
    const path = join(directory, 'lost')
    const lock = takeStateLock(path, 'mine')
    writeFileSync(path, '{"pid":1,"startedTicks":"1","purpose":"theirs"}')
    lock.release()
    expect(readFileSync(path, 'utf8')).include('theirs')
  })

  it('is given to one of many that come at once upon a stale one', async () => {
    const path = join(directory, 'race')
    writeFileSync(path, JSON.stringify({ pid: 4_000_000, startedTicks: '1', purpose: 'dead' }))
    const answers = await Promise.all(Array.from({ length: 4 }, () => answerOf(path)))
    expect(answers.toSorted()).deep.equal(['refused', 'refused', 'refused', 'taken'])
  })
})

const PROGRAM = `
  const { takeStateLock } = await import(process.argv[1])
  try { takeStateLock(process.argv[2], 'child'); console.log('taken') } catch { console.log('refused') }
  process.stdin.resume()
`
const children: ChildProcess[] = []
after(() => {
  for (const child of children) child.kill('SIGKILL')
})

async function start(path: string): Promise<{ child: ChildProcess; answer: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, MODULE, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const [answer] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, answer: answer.toString().trim() }
}

async function holderOf(path: string): Promise<ChildProcess> {
  return (await start(path)).child
}

async function answerOf(path: string): Promise<string> {
  return (await start(path)).answer
}
