import type { Operation } from '../operation.ts'
import { OPERATION_NAMES, type OperationName } from '../operation-names.ts'
import { createKey } from './create-key.ts'
import { decrypt } from './decrypt.ts'
import { describeKey } from './describe-key.ts'
import { encrypt } from './encrypt.ts'
import { generateDataKey } from './generate-data-key.ts'
import { listKeys } from './list-keys.ts'
import { rotateKeyOnDemand } from './rotate-key-on-demand.ts'
import { scheduleKeyDeletion } from './schedule-key-deletion.ts'

/** The operations that exist so far. */
const IMPLEMENTED: { readonly [Name in OperationName]?: Operation<never> } = {
  CreateKey: createKey,
  Decrypt: decrypt,
  DescribeKey: describeKey,
  Encrypt: encrypt,
  GenerateDataKey: generateDataKey,
  ListKeys: listKeys,
  RotateKeyOnDemand: rotateKeyOnDemand,
  ScheduleKeyDeletion: scheduleKeyDeletion,
}

/** All 56 names; those without a row are answered with UnsupportedOperationException. */
export const OPERATIONS: ReadonlyMap<OperationName, Operation<never> | undefined> = new Map(
  OPERATION_NAMES.map((name) => [name, IMPLEMENTED[name]]),
)
