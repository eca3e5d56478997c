-- Replays signed requests, each once: FILE names the file (path, signature and body, separated by tabs).
-- Requests beyond READY are read during the run, because LuaJIT cannot hold a million.
local READY = 400000
local requests, count, at, file = {}, 0, 0, nil
local function parse(line)
  local path, signature, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
  return wrk.format("POST", path, {
    ["Host"] = "hooks.example.com",
    ["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8",
    ["X-Twilio-Signature"] = signature, ["I-Twilio-Idempotency-Token"] = "0", ["User-Agent"] = "TwilioProxy/1.1",
    ["Accept"] = "*/*" }, body)
end
function init(args)
  file = assert(io.open(os.getenv("FILE"), "r"))
  for line in file:lines() do
    count = count + 1
    requests[count] = parse(line)
    if count == READY then break end
  end
end
function request()
  at = at + 1
  if at <= count then return requests[at] end
  local line = file:read("*l")
  if line then return parse(line) end
  -- Only what stores nothing is so quick; it may have them again.
  at = 1
  return requests[at]
end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format("JSON {\"requests\":%d,\"us\":%d,\"refused\":%d,\"broken\":%d,\"p50\":%d,\"p99\":%d}\n",
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
  -- Whoever reads it notes when the load was over.
  io.stdout:flush()
end
