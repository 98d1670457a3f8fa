import type { Key, KeyMaterial } from '../../src/kms/key.ts'

export function aKey(n: number): Key {
  return {
    arn: `arn:aws:kms:r1:111122223333:key/k${n}`,
    keyId: `k${n}`,
    accountId: '111122223333',
    region: 'r1',
    description: 'ü',
    keySpec: 'SYMMETRIC_DEFAULT',
    keyUsage: 'ENCRYPT_DECRYPT',
    origin: 'AWS_KMS',
    state: 'Enabled',
    createdAt: 1,
    deletionAt: undefined,
    policy: '{}',
    tags: [{ tagKey: 'a', tagValue: '' }],
    currentMaterialId: `m${n}`,
    onDemandRotations: 0,
    rotationSchedule: undefined,
    rowVersion: 0,
  }
}

export function aMaterial(n: number): KeyMaterial {
  return {
    keyArn: `arn:aws:kms:r1:111122223333:key/k${n}`,
    region: 'r1',
    material: {
      materialId: `m${n}`,
      scheme: 'AES_GCM',
      objects: [{ role: 'cipher', tokenSerial: 's', keyType: 'AES', id: '00' }],
      proof: Buffer.from([0, 255]),
    },
    lineage: 2 ** 40,
    createdAt: 2,
    encryptionsReserved: 0,
    rotation: undefined,
  }
}
