/** What a face tells about its traffic. Both names come from bounded sets, never from the sender. */
export interface FaceMetrics {
  /** `outcome` is `ok` or the exception's name; `operation` is `none` where the request did not get so far. */
  observe(operation: string, outcome: string, seconds: number): void
}

export interface XksFaceMetrics extends FaceMetrics {
  /** An authenticated request of this store came again; stores are as many as an operator made. */
  observeReplay(storeName: string): void
}
