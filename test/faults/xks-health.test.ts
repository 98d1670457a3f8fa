import { describeHealthPredicts } from '../support/describe-health-predicts.ts'

describeHealthPredicts({ rounds: 60 })
