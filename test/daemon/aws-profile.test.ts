import { expect } from 'chai'
import { statSync } from 'node:fs'
import {
  drawAccessKey,
  drawUserId,
  findAwsCredentials,
  writeAwsCredentials,
} from '../../src/daemon/aws-profile.ts'
import { stateDirectory } from '../../src/daemon/state-directory.ts'
import { temporaryDirectory } from './temporary-directory.ts'

describe('AWS profile', () => {
  const state = stateDirectory(temporaryDirectory())

  it('draws access keys and user ids in the shape of AWS', () => {
    const { accessKeyId, secretAccessKey } = drawAccessKey()
    expect(accessKeyId).match(/^AKIA[A-Z2-7]{16}$/)
    expect(secretAccessKey.reveal()).lengthOf(40)
    expect(drawUserId()).match(/^AIDA[A-Z2-7]{17}$/)
    expect(drawAccessKey().accessKeyId).not.equal(accessKeyId)
  })

  it('reads back the credentials it wrote, in a file of mode 0600', () => {
    expect(findAwsCredentials(state)).equal(undefined)
    const key = drawAccessKey()
    writeAwsCredentials(state.awsCredentials, key)
    expect(statSync(state.awsCredentials).mode & 0o777).equal(0o600)
    const found = findAwsCredentials(state)
    expect(found?.accessKeyId).equal(key.accessKeyId)
    expect(found?.secretAccessKey.reveal()).equal(key.secretAccessKey.reveal())
  })
})
