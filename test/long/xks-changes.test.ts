import { describeXksChanges } from '../support/describe-xks-changes.ts'

describeXksChanges({
  credentials: Number(process.env['XKS_CREDENTIALS'] ?? 1000),
  certificates: Number(process.env['XKS_CERTIFICATES'] ?? 1000),
  materials: Number(process.env['XKS_MATERIALS'] ?? 100),
})
