"""Sends one message with twilio-python: base URL, account, token, recipient, sender, text."""

import json
import sys

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

base, account, token, to, sender, text = sys.argv[1:]
client = Client(account, token)
client.api.base_url = base
try:
    message = client.messages.create(to=to, from_=sender, body=text)
    print(json.dumps({"sid": message.sid, "status": message.status, "body": message.body}))
except TwilioRestException as error:
    print(json.dumps({"status": error.status, "code": error.code, "message": error.msg}))
