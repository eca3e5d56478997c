"""Sends a login code with Twilio's Python library and reports it to Heardback. Try it: python3 python.py +15558675310"""
import os, sys, threading, time
from datetime import datetime, timezone
import requests
from twilio.request_validator import RequestValidator
from twilio.rest import Client

BASE, KEY = (os.environ[name].split(",")[0] for name in ("HEARDBACK_PUBLIC_URL", "HEARDBACK_APP_KEYS"))  # may be lists
FROM, VALIDATOR = os.environ["TWILIO_FROM"], RequestValidator(KEY)
client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
client.api.base_url = os.environ.get("HEARDBACK_UPSTREAM_URL", client.api.base_url)  # the demo's stand-in

def report(path, fields):
    """Make this a job of your queue: it raises after a timeout, a 503 or a 403, so that the queue runs it again."""
    url = BASE + path  # the public URL, because it is signed
    headers = {"X-Twilio-Signature": VALIDATOR.compute_signature(url, fields)}
    answer = requests.post(url, data=fields, headers=headers, timeout=2)
    if answer.status_code in (400, 409, 413, 415):  # the same request would be refused again
        print(path, answer.status_code, answer.text, file=sys.stderr)
    elif not answer.ok:
        answer.raise_for_status()

def try_for_an_hour(path, fields):
    for wait in [5 * 2**n for n in range(10)]:
        try:
            return report(path, fields)
        except requests.RequestException as error:
            print(f"{path}: {error!r}, again in {wait} s", file=sys.stderr)
        time.sleep(wait)

def report_later(path, **fields):  # without a queue: in the background
    threading.Thread(target=try_for_an_hour, args=(path, fields)).start()

now = lambda: datetime.now(timezone.utc).isoformat()
sid = client.messages.create(to=sys.argv[1], from_=FROM, body="Your code is 493017.", provide_feedback=True).sid
report_later("/app/messages", MessageSid=sid, To=sys.argv[1], From=FROM, CreatedAt=now())
report_later("/app/events", MessageSid=sid, Type="code_entered", OccurredAt=now())  # in your app: when it was entered
print(sid, flush=True)
