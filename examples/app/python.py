"""Sends a login code through Heardback and reports that it was entered. Try it: python3 python.py +15558675310"""
import os, sys, time
from datetime import datetime, timezone
import requests
from twilio.request_validator import RequestValidator
from twilio.rest import Client

base, key = os.environ["HEARDBACK_PUBLIC_URL"], os.environ["HEARDBACK_APP_KEYS"]
client = Client(os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"])
client.api.base_url = base  # Heardback in place of https://api.twilio.com
sid = client.messages.create(to=sys.argv[1], from_=os.environ["TWILIO_FROM"], body="Your code is 493017.").sid
print(sid, flush=True)  # store it with the login

# A job for your queue. It raises after a timeout and after any status but a 2xx, so that the queue runs it again.
def report(sid, entered_at):
    url = f"{base}/app/events"  # the public URL, because it is signed
    form = {"MessageSid": sid, "Type": "code_entered", "OccurredAt": entered_at}
    headers = {"X-Twilio-Signature": RequestValidator(key).compute_signature(url, form)}
    requests.post(url, form, headers=headers, timeout=2).raise_for_status()

# When the code was entered. Without a queue: in a thread, for an hour.
entered_at = datetime.now(timezone.utc).isoformat()
for wait in [5 * 2**n for n in range(10)]:
    try:
        report(sid, entered_at)
        break
    except requests.RequestException as error:
        print(error, getattr(error.response, "text", ""), file=sys.stderr)
        if getattr(error.response, "status_code", 0) in (400, 409, 413, 414, 415):
            break  # refused for good
    time.sleep(wait)
