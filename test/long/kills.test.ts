import { describeKills } from '../support/describe-kills.ts'

describeKills({
  front: Number(process.env['KILLS_FRONT'] ?? 250),
  group: Number(process.env['KILLS_GROUP'] ?? 50),
})
