import { describeXksSigners } from '../support/describe-xks-signers.ts'

describeXksSigners({
  requests: Number(process.env['SIGV4_REQUESTS'] ?? 100_000),
  byCurl: Number(process.env['SIGV4_BY_CURL'] ?? 500),
})
