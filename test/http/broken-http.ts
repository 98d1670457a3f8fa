/** Bytes that are no valid HTTP request, by what is wrong with them: every face answers them with 400 and closes. */
export const BROKEN_HTTP = [
  ['garbage', 'garbage\r\n\r\n'],
  ['AT-H09: an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00'],
  ['AT-H07: two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}'],
  [
    'AT-H07: a length beside chunks',
    'POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['AT-H07: an odd transfer coding', 'POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n{}'],
  [
    'AT-H07: a coding behind chunked',
    'POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
  ],
  ['AT-H07: a negative length', 'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n'],
  ['AT-H07: a length with a plus', 'POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}'],
  ['AT-H07: a space before the colon', 'POST / HTTP/1.1\r\nContent-Length : 2\r\n\r\n{}'],
  ['a bare line feed', 'POST / HTTP/1.1\nHost: a\n\n'],
  ['NUL in a header', 'POST / HTTP/1.1\r\nHost: a\0b\r\n\r\n'],
  ['a broken chunk', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
] as const
