type CamelName<Name> = Name extends 'AWSAccountId' // the only member that starts with more than one capital
  ? 'awsAccountId'
  : Name extends string
    ? Uncapitalize<Name>
    : Name

/** A type of `@aws-sdk/client-kms` with the member names that we use inside: `KeyId` is `keyId`. Maps keep their keys. */
export type Camel<T> = T extends Uint8Array | Date | string | number | boolean | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? readonly Camel<Item>[]
    : string extends keyof T
      ? T
      : { readonly [Name in keyof T as CamelName<Name>]: Camel<T[Name]> }
