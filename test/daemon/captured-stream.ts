import { PassThrough } from 'node:stream'

/** A stream that is no terminal, with the text that was written to it. */
export function capturedStream(): { stream: NodeJS.WriteStream; text(): string } {
  const through = new PassThrough()
  let text = ''
  through.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  return { stream: through as unknown as NodeJS.WriteStream, text: () => text }
}
