"""An app as Twilio's tutorials write it: Flask, and Twilio's RequestValidator before each webhook."""
import os
import sys
from functools import wraps

from flask import Flask, abort, request, session
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse
from twilio.twiml.voice_response import VoiceResponse
from werkzeug.serving import make_server

app = Flask(__name__)
app.secret_key = "only for this test"


def validate_twilio_request(f):
    @wraps(f)
    def decorated(*args, **kwargs):
        validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
        form = request.form if request.method == "POST" else {}
        signature = request.headers.get("X-Twilio-Signature", "")
        return f(*args, **kwargs) if validator.validate(request.url, form, signature) else abort(403)

    return decorated


@app.route("/sms", methods=["GET", "POST"])
@validate_twilio_request
def sms():
    session["count"] = session.get("count", 0) + 1
    answer = MessagingResponse()
    answer.message(f"{session['count']}: {request.values['Body']}")
    return str(answer)


@app.route("/voice", methods=["GET", "POST"])
@validate_twilio_request
def voice():
    answer = VoiceResponse()
    answer.say(f"Hello {request.values['CallSid']}")
    return str(answer), 200, {"Content-Type": "application/xml"}


@app.route("/status", methods=["GET", "POST"])
@validate_twilio_request
def status():
    return "", 204


server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.server_port, flush=True)
sys.stdout.close()
server.serve_forever()
