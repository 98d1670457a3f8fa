import { describeKills } from '../support/describe-kills.ts'

describeKills({ front: 20, group: 10 })
