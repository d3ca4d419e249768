-- wrk: the same GET again and again (wrk's own request); prints the figures for run.mjs.
function done(summary, latency, requests)
  io.write(string.format('RESULT {"requests":%d,"us":%d,"bad":%d,"p50":%d,"p99":%d,"max":%d}\n', summary.requests,
    summary.duration, summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout +
    summary.errors.connect, latency:percentile(50), latency:percentile(99), latency.max))
end
