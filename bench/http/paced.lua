-- wrk: the same GET, each connection once every so many milliseconds (the second argument); prints the figures.
function init(args)
  milliseconds = tonumber(args[2])
end

function delay()
  return milliseconds
end

function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests":%d,"us":%d,"bad":%d,"p50":%d,"p99":%d,"max":%d}\n', summary.requests,
    summary.duration, summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout +
    summary.errors.connect, latency:percentile(50), latency:percentile(99), latency.max))
end
