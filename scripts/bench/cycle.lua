-- For wrk: sends the requests of a file in turn, as they are, and prints the outcome as one line of JSON.
--   wrk … -s cycle.lua <url> -- <file that returns a table of whole requests>
local requests, turn

function init(args)
  requests = dofile(args[1])
  turn = 0
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  io.write(string.format(
    '{"requests":%d,"seconds":%.3f,"refused":%d,"failed":%d,"p50Ms":%.3f,"p99Ms":%.3f}\n',
    summary.requests,
    summary.duration / 1e6,
    summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3
  ))
end
