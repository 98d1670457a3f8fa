import { BlockList, isIP } from 'node:net'

/** Where a TCP face listens. Port 0 lets the system choose one. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

const SHAPE = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/

/** Reads `127.0.0.1:4599`, `[::1]:4599` or `localhost:4599`; undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = SHAPE.exec(text)
  if (!match) return undefined
  const port = Number(match[3])
  const host = match[1] ?? match[2] ?? ''
  if (port > 65535 || (match[1] !== undefined && isIP(host) !== 6)) return undefined
  return { host, port }
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Whether only this machine can connect. Names other than localhost are taken as not: they may resolve to anything. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.host === 'localhost') return true
  const family = isIP(address.host)
  return family !== 0 && LOOPBACK.check(address.host, family === 6 ? 'ipv6' : 'ipv4')
}

export function formatEndpoint(address: ListenAddress, scheme: 'http' | 'https'): string {
  const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host
  return `${scheme}://${host}:${address.port}`
}
