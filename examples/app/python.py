"""A login code, sent with Twilio's Python library and told to Heardback. Try it: python3 python.py +15558675310"""
import os, sys, threading, time
from datetime import datetime, timezone
import requests
from twilio.request_validator import RequestValidator
from twilio.rest import Client

FROM, VALIDATOR = os.environ["TWILIO_FROM"], RequestValidator(os.environ["HEARDBACK_APP_KEY"])
client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
client.api.base_url = os.environ.get("TWILIO_API_URL", client.api.base_url)  # the demo's stand-in

def tell(path, fields):
    """Make this a job of your queue: it raises where it is to be run again, after a 503 or a timeout."""
    url = os.environ["HEARDBACK_URL"] + path  # the public URL, for it is signed
    headers = {"X-Twilio-Signature": VALIDATOR.compute_signature(url, fields)}
    answer = requests.post(url, data=fields, headers=headers, timeout=2)
    if answer.status_code >= 500:
        answer.raise_for_status()
    if not answer.ok:
        print(path, answer.status_code, answer.text, file=sys.stderr)  # the same again would not help

def try_for_an_hour(path, fields):
    for wait in [5 * 2**n for n in range(10)]:
        try:
            return tell(path, fields)
        except requests.RequestException as error:
            print(f"{path}: {type(error).__name__}, again in {wait} s", file=sys.stderr)
        time.sleep(wait)

def tell_later(path, **fields):  # without a queue: nobody waits for it
    threading.Thread(target=try_for_an_hour, args=(path, fields)).start()

now = lambda: datetime.now(timezone.utc).isoformat()
to = sys.argv[1]
sid = client.messages.create(to=to, from_=FROM, body="Your code is 493017.", provide_feedback=True).sid
tell_later("/app/messages", MessageSid=sid, To=to, From=FROM, CreatedAt=now())
# Once the code was entered, in truth; keep the SID with the login.
tell_later("/app/events", MessageSid=sid, Type="code_entered", OccurredAt=now())
print(sid, flush=True)
