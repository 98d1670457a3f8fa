import { describeHealthPredicts } from '../support/describe-health-predicts.ts'

describeHealthPredicts({ rounds: Number(process.env['XKS_HEALTH_ROUNDS'] ?? 1000) })
