import type { KeyState } from '../../src/kms/key-state.ts'
import type { Rig } from './rig.ts'

/** Puts a key into that state without the operations that lead to it. */
export async function putInState(rig: Rig, arn: string, state: KeyState): Promise<void> {
  await rig.storage.change((draft) => {
    const key = draft.findKey(arn)
    if (!key) throw new RangeError(`no key ${arn}`)
    draft.putKey({ ...key, state })
  })
}
