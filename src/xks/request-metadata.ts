/** What AWS KMS says about the call behind a call (XKS 1.4). Nothing in it is validated beyond its presence (XKS M-08). */
export interface RequestMetadata {
  readonly awsPrincipalArn: string | undefined
  readonly kmsKeyArn: string | undefined
  readonly kmsOperation: string
  readonly kmsRequestId: string
  readonly awsSourceVpc: string | undefined
  readonly awsSourceVpce: string | undefined
  readonly kmsViaService: string | undefined
}
