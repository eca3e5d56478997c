#!/usr/bin/env python3
"""Batches of Event Streams beside webhooks: BATCHES clients send batches of EVENTS events without a pause, three more clients send replies and
ringing calls, for 15 s, to a service of its own. Prints the answers by route and status, their times, and the messages stored per second.

    [BATCHES=8] [EVENTS=1500] bench/event_streams.py target/release/heardback
"""
import base64, hashlib, hmac, http.client, json, os, random, re, socket, subprocess, sys, tempfile, threading, time, urllib.parse, uuid

BATCHES, EVENTS, SECONDS = int(os.environ.get("BATCHES", 8)), int(os.environ.get("EVENTS", 1500)), 15
PUBLIC, ACCOUNT, TOKEN = "https://hooks.example.com", "AC0123456789abcdef0123456789abcdef", "f00dbabe98765432100123456789cafe"
OURS, counts, times, lock = "+12025550100", {}, {}, threading.Lock()


def sign(text):
    return base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


def send(port, route, path, body, media, signed):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.monotonic()
    line.request("POST", path, body, {"Content-Type": media, "X-Twilio-Signature": sign(signed)})
    answer = line.getresponse()
    answer.read()
    line.close()
    key = f"{route} {answer.status}"
    with lock:
        counts[key] = counts.get(key, 0) + 1
        times.setdefault(key, []).append(time.monotonic() - began)


def batch(port):
    person = lambda: "+1415%07d" % random.randrange(10**7)
    data = lambda: {"messageSid": "SM" + uuid.uuid4().hex, "from": OURS, "to": person()}
    events = [{"specversion": "1.0", "type": "com.twilio.messaging.message.delivered", "id": "EZ" + uuid.uuid4().hex, "source": "/x",
               "data": data()} for _ in range(EVENTS)]
    body = json.dumps(events).encode()
    path = "/twilio/events?bodySHA256=" + hashlib.sha256(body).hexdigest()
    send(port, "events", path, body, "application/json", PUBLIC + path)


def webhooks(port):
    person = "+1415%07d" % random.randrange(10**7)
    both = {"AccountSid": ACCOUNT, "From": person, "To": OURS}
    reply = both | {"MessageSid": "SM" + uuid.uuid4().hex, "Body": "hi", "SmsStatus": "received"}
    call = both | {"CallSid": "CA" + uuid.uuid4().hex, "Direction": "inbound", "CallStatus": "ringing"}
    for route, fields in (("message", reply), ("call", call)):
        path = f"/twilio/{route}"
        signed = PUBLIC + path + "".join(name + fields[name] for name in sorted(fields))
        send(port, route, path, urllib.parse.urlencode(fields), "application/x-www-form-urlencoded", signed)
    time.sleep(0.02)


with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as nobody:
    settings = {"HEARDBACK_PUBLIC_URL": PUBLIC, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "HEARDBACK_DRY_RUN": "true",
                "HEARDBACK_LISTEN": "127.0.0.1:0", "HEARDBACK_OPS_LISTEN": "127.0.0.1:0", "HEARDBACK_STORE": f"sled:{folder}/store",
                "HEARDBACK_LOG_FORMAT": "json", "HEARDBACK_UPSTREAM_URL": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
    with open(f"{folder}/log", "w") as log:
        service = subprocess.Popen([sys.argv[1], "serve"], env=settings, stdout=log, stderr=log)
    try:
        while not (found := re.search(r'"public_addr":"[^"]*:(\d+)","ops_addr":"[^"]*:(\d+)"', open(f"{folder}/log").read())):
            assert service.poll() is None, open(f"{folder}/log").read()
            time.sleep(0.01)
        port, ops = map(int, found.groups())
        end = time.monotonic() + SECONDS

        def until_the_end(act):
            while time.monotonic() < end:
                act(port)

        clients = [threading.Thread(target=until_the_end, args=[act]) for act in [batch] * BATCHES + [webhooks] * 3]
        [client.start() for client in clients]
        [client.join() for client in clients]
        line = http.client.HTTPConnection("127.0.0.1", ops)
        line.request("GET", "/metrics")
        scrape = line.getresponse().read().decode()
    finally:
        service.kill()
        service.wait()
for key in sorted(counts):
    took = sorted(times[key])
    at = lambda share: took[min(len(took) - 1, int(len(took) * share))]
    print(f"{key}: {counts[key]}, median {at(0.5):.3f} s, 99 % {at(0.99):.3f} s, worst {took[-1]:.3f} s")
stored = sum(int(value) for value in re.findall(r"^heardback_messages\{.*\} (\d+)$", scrape, re.M))
print(f"{stored / SECONDS:.0f} messages stored per second")
print(*[l for l in scrape.splitlines() if re.search(r'outcome="lost"|reason="(streams_)?busy"', l)], sep="\n")
