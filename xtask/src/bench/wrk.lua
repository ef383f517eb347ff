-- Load for `cargo xtask bench http`. AGNES_BENCH_BEARER is who calls; AGNES_BENCH_NAMES, when set, makes each request a
-- POST of a name that begins with it and that no other request has. Ends with one line of figures.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(_)
  local bearer = os.getenv("AGNES_BENCH_BEARER")
  if bearer then
    wrk.headers["Authorization"] = "Bearer " .. bearer
  end
  local names = os.getenv("AGNES_BENCH_NAMES")
  if names then
    wrk.headers["Content-Type"] = "application/json"
    local count = 0
    request = function()
      count = count + 1
      return wrk.format("POST", nil, nil, string.format('{"name":"%s-%d-%d"}', names, number, count))
    end
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("\nfigures %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status, lost))
end
