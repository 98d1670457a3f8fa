/**
 * Holds src/ to its layers: which folder may import which, and which folder is the door to which package.
 * The tables below are the architecture's; the imports are read from the files.
 *   node scripts/check-layers.ts           says what is wrong, exit 1
 *   node scripts/check-layers.ts --draw    prints the folder table as the imports really draw it
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

interface FolderRow {
  /** Folders whose code it may use. */
  readonly imports: readonly string[]
  /** Folders of which it may use types only. */
  readonly importsTypes?: readonly string[]
  /** Packages that only this folder imports; a trailing `*` stands for a whole scope. */
  readonly doorTo?: readonly string[]
  /** Packages whose types it may use although the door is elsewhere. */
  readonly typesOf?: readonly string[]
}

export const FOLDERS: Readonly<Record<string, FolderRow>> = {
  bytes: { imports: [] },
  crypto: {
    imports: ['bytes'],
    doorTo: ['@peculiar/*', 'webcrypto-core', 'reflect-metadata'],
  },
  sigv4: { imports: ['bytes'], doorTo: ['@smithy/signature-v4'] },
  policy: { imports: ['bytes'] },
  pkcs11: {
    imports: ['bytes', 'crypto'],
    doorTo: ['pkcs11js', 'graphene-pk11', 'node-webcrypto-p11'],
  },
  token: { imports: ['bytes', 'crypto', 'pkcs11'] },
  kms: { imports: ['bytes', 'crypto', 'policy'], typesOf: ['@aws-sdk/client-kms'] },
  xks: { imports: ['bytes', 'crypto', 'sigv4', 'policy'], doorTo: ['undici'] },
  // A record tells of a caller and a decision, and both are words of kms/ or xks/; audit/ reads them and calls nothing there.
  audit: { imports: ['bytes', 'crypto'], importsTypes: ['kms', 'xks'] },
  storage: {
    imports: ['bytes', 'kms', 'xks', 'audit'],
    doorTo: ['kysely', 'better-sqlite3', 'pg'],
  },
  http: {
    imports: ['bytes', 'sigv4', 'policy', 'kms', 'xks', 'audit'],
    doorTo: ['express', '@aws-sdk/client-kms', '@aws-sdk/core', '@smithy/core'],
  },
  daemon: {
    imports: [
      'bytes',
      'crypto',
      'sigv4',
      'policy',
      'pkcs11',
      'token',
      'kms',
      'xks',
      'audit',
      'storage',
      'http',
    ],
    doorTo: [
      'winston',
      'commander',
      'cli-table3',
      'zod',
      'yaml',
      'prom-client',
      '@opentelemetry/*',
    ],
  },
}

export interface Import {
  /** Path below src/ of the file that imports. */
  readonly from: string
  /** `./x.ts`, `node:fs`, `@scope/package/deep` as it is written. */
  readonly specifier: string
  readonly typeOnly: boolean
}

/** What is wrong with these imports, one sentence each; nothing when the layers hold. */
export function layerFaults(imports: readonly Import[]): string[] {
  return [
    ...imports.flatMap((one) => faultsOf(isRelative(one) ? arrowFault(one) : doorFault(one))),
    ...circles(imports).map((files) => `circle: ${files.join(' → ')}`),
  ]
}

function arrowFault(one: Import): string | undefined {
  const from = folderOf(one.from)
  const to = folderOf(targetOf(one))
  const row = FOLDERS[from]
  if (!row) return `${one.from}: the folder ${from}/ is not in the table of layers`
  if (from === to || row.imports.includes(to)) return undefined
  if (row.importsTypes?.includes(to)) {
    return one.typeOnly ? undefined : `${one.from}: ${from}/ may import only types of ${to}/`
  }
  return `${one.from}: ${from}/ may not import ${to}/ (${one.specifier})`
}

function doorFault(one: Import): string | undefined {
  if (one.specifier.startsWith('node:')) return undefined
  const name = packageOf(one.specifier)
  const door = doorTo(name)
  const folder = folderOf(one.from)
  if (door === folder) return undefined
  if (one.typeOnly && FOLDERS[folder]?.typesOf?.includes(name)) return undefined
  return door === undefined
    ? `${one.from}: no folder is the door to ${name}`
    : `${one.from}: only ${door}/ may import ${name}`
}

/** Circles of files; none is missed altogether, though of entangled ones not each is named. */
function circles(imports: readonly Import[]): string[][] {
  const targets = new Map<string, string[]>()
  for (const one of imports.filter(isRelative)) {
    targets.set(one.from, [...(targets.get(one.from) ?? []), targetOf(one)])
  }
  const found = new Map<string, string[]>()
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file)
    if (start >= 0) {
      const circle = path.slice(start)
      found.set(circle.toSorted().join(), [...circle, file])
    } else if (!done.has(file)) {
      for (const target of targets.get(file) ?? []) visit(target, [...path, file])
      done.add(file)
    }
  }
  for (const file of targets.keys()) visit(file, [])
  return [...found.values()]
}

/** The imports of one file. TypeScript 7 has no stable parser to ask, so statements are found by their shape. */
export function importsOf(from: string, source: string): Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  const statements = code.matchAll(
    /^[ \t]*(?:import|export)\s+(?<type>type\s+(?!from\b))?(?:[\w*{}\s,$]+?\sfrom\s*)?'(?<specifier>[^'\n]+)'/gm,
  )
  const calls = code.matchAll(/\b(?:import|require)\(\s*'(?<specifier>[^'\n]+)'\s*\)/g)
  return [...statements, ...calls].map(({ groups }) => ({
    from,
    specifier: groups?.['specifier'] ?? '',
    typeOnly: groups?.['type'] !== undefined,
  }))
}

function readImports(root: string): Import[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .toSorted()
    .flatMap((path) => importsOf(path, readFileSync(join(root, path), 'utf8')))
}

const isRelative = (one: Import): boolean => one.specifier.startsWith('.')
const targetOf = (one: Import): string => normalize(join(dirname(one.from), one.specifier))
const folderOf = (path: string): string => path.split('/')[0] ?? path
const faultsOf = (fault: string | undefined): string[] => (fault === undefined ? [] : [fault])

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function doorTo(name: string): string | undefined {
  return Object.entries(FOLDERS).find(([, row]) =>
    row.doorTo?.some((door) =>
      door.endsWith('/*') ? name.startsWith(door.slice(0, -1)) : name === door,
    ),
  )?.[0]
}

function draw(imports: readonly Import[]): string {
  const rows = Object.keys(FOLDERS).map((folder) => {
    const outside = imports.filter(
      (one) => folderOf(one.from) === folder && !one.specifier.startsWith('node:'),
    )
    const folders = outside.filter((one) => isRelative(one) && folderOf(targetOf(one)) !== folder)
    const packages = outside.filter((one) => !isRelative(one))
    return [
      `${folder}/`,
      distinct(folders, (one) => folderOf(targetOf(one))),
      distinct(packages, (one) => packageOf(one.specifier)),
    ] as const
  })
  return [['folder', 'imports (types)', 'packages'] as const, ...rows]
    .map(([folder, folders, packages]) =>
      `${folder.padEnd(10)}${folders.padEnd(72)}${packages}`.trimEnd(),
    )
    .join('\n')
}

/** Names that are used for their types alone stand in brackets. */
function distinct(imports: readonly Import[], nameOf: (one: Import) => string): string {
  const names = [...new Set(imports.map(nameOf))].toSorted()
  return names
    .map((name) =>
      imports.every((one) => nameOf(one) !== name || one.typeOnly) ? `(${name})` : name,
    )
    .join(' ')
}

if (import.meta.main) {
  const imports = readImports(join(import.meta.dirname, '..', 'src'))
  const faults = layerFaults(imports)
  if (process.argv.includes('--draw')) console.log(draw(imports))
  for (const fault of faults) console.error(`src/${fault}`)
  process.exitCode = faults.length > 0 ? 1 : 0
}
