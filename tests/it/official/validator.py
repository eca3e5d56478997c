"""twilio-python's RequestValidator for tests/it/official: one JSON line in, one out.

Forms are parsed and passed to the validator as Flask and Django do it.
"""

import json
import sys
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator, get_signature_algorithm


class Form:
    """The part of a MultiDict that the validator uses."""

    def __init__(self, body):
        self.pairs = parse_qsl(body, keep_blank_values=True)

    def __len__(self):
        return len(self.pairs)

    def __iter__(self):
        return (name for name, _ in self.pairs)

    def getlist(self, wanted):
        return [value for name, value in self.pairs if name == wanted]


def answer(asked):
    validator = RequestValidator(asked["token"])
    kind, body = asked["kind"], asked["body"]
    params = {"form": Form(body), "json": body, "none": {}}[kind]
    algorithm = get_signature_algorithm(asked["settings"])
    try:
        accepts = bool(validator.validate(asked["url"], params, asked["signature"], algorithm))
    except Exception as error:
        return {"accepts": False, "raised": type(error).__name__}
    signed = params if kind == "form" else {}
    return {"accepts": accepts, "signs": validator.compute_signature(asked["url"], signed, algorithm)}


# Reports that every import succeeded.
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
