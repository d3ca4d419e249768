-- wrk: prints the figures of a run, for the scripts that call it.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests":%d,"us":%d,"bad":%d,"p50":%d,"p99":%d,"max":%d}\n', summary.requests,
    summary.duration, errors.status + errors.read + errors.write + errors.timeout + errors.connect,
    latency:percentile(50), latency:percentile(99), latency.max))
end
