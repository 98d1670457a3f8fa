import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fillState } from './bench/fill-state.ts'

const CACHE = join(import.meta.dirname, '..', '.cache')

// Prints the state directory that it made, or that was there already.
const { values } = parseArgs({ options: { keys: { type: 'string', default: '10000' } } })
const keys = Number(values.keys)
const directory = join(CACHE, `state-${keys}-keys`)
fillState(directory, keys)
console.log(directory)
