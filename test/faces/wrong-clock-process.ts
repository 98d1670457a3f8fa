import { DescribeKeyCommand, KMSClient } from '@aws-sdk/client-kms'

/**
 * A program on a machine whose clock is off, started by aws-sdk.test.ts: endpoint, key id and the milliseconds by which its
 * clock is ahead are its arguments, credentials stand in its environment. Prints what became of one DescribeKey.
 */

const [endpoint = '', keyId = '', aheadMs = ''] = process.argv.slice(2)

const RealDate = Date

/** The only clock that the SDK signs by. */
class WrongDate extends RealDate {
  constructor(...given: [] | [string | number | Date]) {
    super(given.length === 0 ? WrongDate.now() : given[0])
  }
  static override now(): number {
    return RealDate.now() + Number(aheadMs)
  }
}
globalThis.Date = WrongDate as DateConstructor

const client = new KMSClient({ endpoint, region: 'eu-west-1' })
const describe = () => client.send(new DescribeKeyCommand({ KeyId: keyId }))
const first = await describe()
const second = await describe()
const printed = {
  keyId: first.KeyMetadata?.KeyId,
  attempts: [first.$metadata.attempts, second.$metadata.attempts],
}
process.stdout.write(JSON.stringify(printed))
