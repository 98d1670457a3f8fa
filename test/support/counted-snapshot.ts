import type { Storage } from '../../src/storage/storage.ts'

export interface CountedSnapshot {
  /** As the storage that it was made of, but for what it notes. */
  readonly storage: Storage
  /** Names of what was asked of the snapshot. */
  readonly reads: string[]
}

/** A storage whose reads can be counted. */
export function countReads(storage: Storage): CountedSnapshot {
  const reads: string[] = []
  const noting = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(_, name) {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          reads.push(String(name))
          return Reflect.apply(member, target, args) as unknown
        }
      },
    })
  return {
    reads,
    storage: new Proxy(storage, {
      get: (_, name) =>
        name === 'snapshot' ? noting(storage.snapshot) : Reflect.get(storage, name, storage),
    }),
  }
}
