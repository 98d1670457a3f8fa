import { CustodyError } from '../crypto/custody-error.ts'
import type { LaneAdvice, LaneErrorReply } from './lane-protocol.ts'

/** A call that a lane refused, or that got no answer: a CustodyError with what to do with the lane. */
export class LaneError extends CustodyError {
  readonly advice: LaneAdvice

  constructor(reply: LaneErrorReply) {
    super(reply.code, reply.message, {
      ...(reply.ckr === undefined ? {} : { ckr: reply.ckr }),
      ...(reply.call === undefined ? {} : { call: reply.call }),
    })
    this.advice = reply.advice
  }
}

export function laneGone(lane: string): LaneError {
  return new LaneError({
    code: 'DEVICE_GONE',
    message: `${lane} ended before it answered`,
    advice: 'replace',
  })
}

export function deadlinePassed(lane: string, call: string): LaneError {
  return new LaneError({
    code: 'DEADLINE',
    message: `${lane} did not answer ${call} in time`,
    advice: 'keep', // the pool's watch over silent lanes decides about the lane
  })
}
