-- Replays signed requests, each once. FILE names their file: path, signature and body, separated by tabs.
-- Requests beyond READY are read during the run, because LuaJIT has no memory for a million.
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
  -- Only a server without a store is fast enough to get here. It may get requests twice.
  at = 1
  return requests[at]
end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format("JSON {\"requests\":%d,\"us\":%d,\"refused\":%d,\"broken\":%d,\"p50\":%d,\"p99\":%d}\n",
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
  -- The reader records the end of the load.
  io.stdout:flush()
end
