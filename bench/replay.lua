-- Replays signed requests, each once: FILE names the file (path, signature and body, by tabs).
local requests, count, at = {}, 0, 0
function init(args)
  for line in assert(io.open(os.getenv("FILE"), "r")):lines() do
    local path, signature, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
    count = count + 1
    requests[count] = wrk.format("POST", path, {
      ["Host"] = "hooks.example.com",
      ["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8",
      ["X-Twilio-Signature"] = signature, ["I-Twilio-Idempotency-Token"] = "0", ["User-Agent"] = "TwilioProxy/1.1",
      ["Accept"] = "*/*" }, body)
  end
end
function request() at = at + 1; if at > count then at = 1 end; return requests[at] end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format("JSON {\"requests\":%d,\"us\":%d,\"refused\":%d,\"broken\":%d,\"p50\":%d,\"p99\":%d}\n",
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
