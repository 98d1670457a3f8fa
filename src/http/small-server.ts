import { createServer, type RequestListener, type Server } from 'node:http'

/** AT-H17, AT-H18: for a few programs of ours; who comes on top is disconnected, and no lane lacks a descriptor. */
const MOST_CONNECTIONS = 32
/** For a request to arrive; what it asks for may take long. */
const REQUEST_TIMEOUT_MS = 10_000

/** A server beside the faces, for administration and monitors: few connections, and none is kept by saying nothing. */
export function createSmallServer(handle: RequestListener): Server {
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
    },
    handle,
  )
  server.maxConnections = MOST_CONNECTIONS
  return server
}
