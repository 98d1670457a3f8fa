import * as client from '@aws-sdk/client-kms'
import { NormalizedSchema } from '@smithy/core/schema'
import { OPERATION_NAMES, type OperationName } from '../kms/operation-names.ts'

/** The operations that the installed SDK can call: its `…Command` classes. */
type CommandName = {
  [K in keyof typeof client]: K extends `${infer Name}Command`
    ? Name extends '$'
      ? never
      : Name
    : never
}[keyof typeof client]

/** What AWS says an operation takes and gives; `output` is the unit schema where it gives nothing. */
export interface OperationSchema {
  readonly input: NormalizedSchema
  readonly output: NormalizedSchema
}

const SCHEMAS: { readonly [Name in CommandName as `${Name}$`]: (typeof client)['Encrypt$'] } =
  client

// ARCH-D17: the contract is the SDK's. The two types on `name` must be the same set, or the tree does not compile: an
// operation that AWS adds is an error here until the list of kms/ has it.
export const OPERATION_SCHEMAS: ReadonlyMap<OperationName, OperationSchema> = new Map(
  OPERATION_NAMES.map((name: CommandName): [OperationName, OperationSchema] => {
    const [, , , , input, output] = SCHEMAS[`${name satisfies OperationName}$`]
    return [name, { input: NormalizedSchema.of(input), output: NormalizedSchema.of(output) }]
  }),
)
