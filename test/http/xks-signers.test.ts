import { describeXksSigners } from '../support/describe-xks-signers.ts'

describeXksSigners({ requests: 5_000, byCurl: 50 })
