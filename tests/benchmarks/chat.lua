-- A chat request of its own for every call of wrk, and one line of JSON at the end.
-- BENCH_HEADERS holds "name: value" lines, BENCH_MODEL the model, BENCH_ROUND a number that no other round has.
local subjects = {"a ferry timetable", "the smell of rain", "a broken bicycle chain", "tide pools in winter",
  "the price of saffron", "an unread letter", "two clocks that disagree", "a recipe for rye bread", "chess in a park"}
local model, round, count = os.getenv("BENCH_MODEL"), os.getenv("BENCH_ROUND"), 0

wrk.method = "POST"
for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^\n:]+): ([^\n]+)") do wrk.headers[name] = value end

function request()
  count = count + 1
  local subject = subjects[count % #subjects + 1]
  return wrk.format(nil, nil, nil, string.format(
    '{"model":"%s","messages":[{"role":"user","content":"In round %s, give me %d thoughts about %s, shortest first."}],"temperature":0.8,"max_tokens":80}',
    model, round, count, subject))
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"non_2xx":%d,"socket_errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
