import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { parseVendorProfile, VendorProfileError } from '../../src/pkcs11/parse-vendor-profile.ts'

const DIRECTORY = join(import.meta.dirname, '..', '..', 'native-config')
const readJson = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(DIRECTORY, file), 'utf8')) as Record<string, unknown>

interface Schema {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly description?: string
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly minimum?: number
  readonly maximum?: number
}

describe('vendor profiles', () => {
  const schema = readJson('profile.schema.json') as Schema
  const files = readdirSync(DIRECTORY).filter(
    (name) => name.endsWith('.json') && name !== 'profile.schema.json',
  )

  it('ARCH-D15: every file of native-config is a profile named as the file, with its measurement', () => {
    expect(files).to.include.members(['softhsm2.json', 'softhsm2-without-gcm.json'])
    for (const file of files) {
      const profile = parseVendorProfile(readJson(file))
      expect(`${profile.name}.json`).to.equal(file)
      expect(profile.measured.on).to.match(/^20\d\d-/)
    }
  })

  it('ARCH-D6: only the software token allows unwrapping on the host', () => {
    const allowing = files.filter(
      (file) => parseVendorProfile(readJson(file)).import.allowHostUnwrap,
    )
    expect(allowing).to.have.members(['softhsm2.json', 'softhsm2-without-gcm.json'])
  })

  describe('schema and parser', () => {
    const good = readJson('softhsm2.json')

    it('know the same fields, all required, each with a description', () => {
      const walk = (node: Schema, sample: Record<string, unknown>): void => {
        const fields = Object.keys(node.properties ?? {}).filter((name) => name !== '$schema')
        expect(node.required).to.have.members(fields)
        const given = Object.keys(sample).filter((name) => name !== '$schema')
        expect(given).to.have.members(fields)
        for (const [name, property] of Object.entries(node.properties ?? {})) {
          expect(property.description, name).to.be.a('string')
          if (property.properties) walk(property, sample[name] as Record<string, unknown>)
        }
      }
      walk(schema, good)
    })

    for (const [path, node] of leaves(schema)) {
      it(`both refuse ${path} when it is missing, of another type or out of range`, () => {
        expect(problemsOf(changed(good, path, undefined))).to.deep.equal([`${path}: is missing`])
        for (const value of wrongValues(node)) {
          const problems = problemsOf(changed(good, path, value))
          expect(problems, JSON.stringify(value)).to.have.length(1)
          expect(problems[0]).to.match(new RegExp(`^${path}: must be `))
        }
      })
      if (node.minimum !== undefined && node.maximum !== undefined && path !== 'ivBytes')
        it(`both take the limits of ${path}`, () => {
          for (const limit of [node.minimum, node.maximum])
            for (const problem of problemsOf(changed(good, path, limit)))
              expect(problem, String(limit)).to.not.match(/must be an integer/)
        })
    }
  })

  it('names every problem at once, by path', () => {
    const wrong = {
      ...readJson('softhsm2.json'),
      hotLanes: '2',
      killSave: true,
      ambiguousCkrs: ['CKR_TYPO'],
    }
    expect(problemsOf(wrong)).to.deep.equal([
      'killSave: is unknown',
      'hotLanes: must be an integer from 1 to 64',
      'ambiguousCkrs[0]: must be the name of a return code, or CKR_0x and 8 or more hex digits',
    ])
  })

  it('takes nothing but an object', () => {
    for (const json of [null, 7, 'profile', [], undefined])
      expect(problemsOf(json)).to.deep.equal(['profile: must be an object'])
  })

  it('refuses fields that contradict each other', () => {
    const good = readJson('softhsm2.json')
    const cbc = { ...good, aeadScheme: 'AES_CBC_HMAC', ivModel: 'hsm-written' }
    expect(problemsOf(cbc)).to.deep.equal([
      'ivBytes: must be 16 for AES_CBC_HMAC',
      'ivModel: must be host for AES_CBC_HMAC',
    ])
    expect(problemsOf({ ...good, ivBytes: 13 })).to.deep.equal(['ivBytes: must be 12 or 16'])
    expect(problemsOf({ ...good, maxSessions: 4, callsPerLane: 4 })).to.have.length(1)
  })

  it('ARCH-D2: a use with its retry has no less time than one try', () => {
    const good = readJson('softhsm2.json')
    expect(problemsOf(changed(good, 'deadlinesMs.useTotal', 80))).to.deep.equal([])
    expect(problemsOf(changed(good, 'deadlinesMs.useTotal', 79))).to.deep.equal([
      'deadlinesMs.useTotal: must not be shorter than deadlinesMs.use',
    ])
  })

  it('takes only names that have an effect', () => {
    const good = readJson('softhsm2.json')
    expect(problemsOf({ ...good, omitAttributes: ['CKA_WARP'] })).to.have.length(1)
    expect(problemsOf({ ...good, mechanisms: { AES: 1 } })).to.have.length(1)
    expect(problemsOf({ ...good, mechanisms: { CKM_AES_GCM: -1 } })).to.have.length(1)
    expect(problemsOf({ ...good, ambiguousCkrs: ['CKR_0x80000123'] })).to.deep.equal([])
  })
})

function problemsOf(json: unknown): readonly string[] {
  try {
    parseVendorProfile(json)
    return []
  } catch (error) {
    if (error instanceof VendorProfileError) return error.problems
    throw error
  }
}

function* leaves(node: Schema, path = ''): Iterable<[string, Schema]> {
  for (const [name, property] of Object.entries(node.properties ?? {})) {
    if (name === '$schema') continue
    const at = path === '' ? name : `${path}.${name}`
    if (property.properties) yield* leaves(property, at)
    else yield [at, property]
  }
}

/** A copy with one value changed; `undefined` takes the field away. */
function changed(profile: object, path: string, value: unknown): unknown {
  const copy = structuredClone(profile) as Record<string, unknown>
  const names = path.split('.')
  const last = String(names.pop())
  const parent = names.reduce((at, name) => at[name] as Record<string, unknown>, copy)
  if (value === undefined) delete parent[last]
  else parent[last] = value
  return copy
}

function wrongValues(node: Schema): unknown[] {
  if (node.enum) return ['none of them', 7, null]
  if (node.type === 'string') return ['', 7, null]
  if (node.type === 'boolean') return ['true', 0, null]
  if (node.type === 'array') return [{}, 'text', null]
  if (node.type === 'object') return [[], 'text', null]
  return ['7', 1.5, null, Number(node.minimum) - 1, Number(node.maximum) + 1]
}
