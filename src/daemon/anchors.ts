import type { Storage } from '../storage/storage.ts'
import {
  type ListReply,
  materialFromJson,
  type MaterialJson,
  materialToJson,
  RECORD_KEY_LABEL,
  type TokenAnchors,
} from '../token/lane-protocol.ts'
import type { TokenConnection } from './token-connection.ts'

interface AnchorsJson {
  readonly canary: MaterialJson
  readonly recordKeyId: string
}

/** The canary and record key of a token, as storage remembers them; undefined before `init` has made them. */
export function findAnchors(storage: Storage, tokenSerial: string): TokenAnchors | undefined {
  const json = storage.snapshot.findAnchors(tokenSerial) as AnchorsJson | undefined
  return json && { canary: materialFromJson(json.canary), recordKeyId: json.recordKeyId }
}

export async function keepAnchors(
  storage: Storage,
  tokenSerial: string,
  anchors: TokenAnchors,
): Promise<void> {
  const json: AnchorsJson = {
    canary: materialToJson(anchors.canary),
    recordKeyId: anchors.recordKeyId,
  }
  await storage.change((draft) => draft.putAnchors(tokenSerial, json), { evenReadOnly: true })
}

/**
 * Looks in the token itself for anchors that an earlier database of ours knew: a canary record, and the record key that has
 * signed it. Answers also what the token shows once records can be checked.
 */
export async function findAnchorsInToken(
  connect: () => Promise<TokenConnection>,
): Promise<{ anchors: TokenAnchors; list: ListReply } | undefined> {
  const unchecked = await listWith(connect, undefined)
  for (const anchors of candidates(unchecked)) {
    const list = await listWith(connect, anchors)
    const signed = list.records.some(
      ({ authentic, material }) => authentic && material?.materialId === anchors.canary.materialId,
    )
    if (signed) return { anchors, list }
  }
  return undefined
}

async function listWith(
  connect: () => Promise<TokenConnection>,
  anchors: TokenAnchors | undefined,
): Promise<ListReply> {
  const { pool, custody } = await connect()
  try {
    await pool.start(anchors)
    return await custody.list()
  } finally {
    await pool.stop()
  }
}

/** Normally one; an interrupted `init` may have left a record key that signed nothing. */
function* candidates({ objects, records }: ListReply): Generator<TokenAnchors> {
  for (const { kind, material } of records) {
    if (kind !== 'canary' || !material) continue
    for (const { label, id } of objects) {
      if (label === RECORD_KEY_LABEL) yield { canary: materialFromJson(material), recordKeyId: id }
    }
  }
}
