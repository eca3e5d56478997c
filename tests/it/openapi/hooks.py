"""Signs the requests of schemathesis as an app does: with Twilio's own RequestValidator, over the public URL.

Loaded by SCHEMATHESIS_HOOKS; tests/it/openapi sets the public URL and the signing key.
"""

import hashlib
import os
from urllib.parse import parse_qsl, urlsplit

import requests
import schemathesis
from twilio.request_validator import RequestValidator

PUBLIC_URL = os.environ["SIGN_FOR"]
VALIDATOR = RequestValidator(os.environ["SIGN_WITH"])
FORM = "application/x-www-form-urlencoded"


class Form:
    """A form as it is sent, with the part of a MultiDict that the validator uses."""

    def __init__(self, body):
        self.pairs = parse_qsl(body, keep_blank_values=True)

    def __len__(self):
        return len(self.pairs)

    def __iter__(self):
        return (name for name, _ in self.pairs)

    def getlist(self, wanted):
        return [value for name, value in self.pairs if name == wanted]


def with_hash(path_and_query, body):
    """Replaces the generated hash in the query with the hash of the body."""
    path, _, query = path_and_query.partition("?")
    pairs = [pair for pair in query.split("&") if pair and not pair.startswith("bodySHA256")]
    return f"{path}?{'&'.join([*pairs, 'bodySHA256=' + hashlib.sha256(body).hexdigest()])}"


class Sign(requests.auth.AuthBase):
    def __call__(self, request):
        url = urlsplit(request.url)
        origin = f"{url.scheme}://{url.netloc}"
        path_and_query = request.url.removeprefix(origin)
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        is_form = request.headers.get("Content-Type", "").startswith(FORM)
        if request.method != "GET" and (not is_form or "bodySHA256" in path_and_query):
            path_and_query = with_hash(path_and_query, body)
            request.url = origin + path_and_query
        params = Form(body.decode()) if is_form else {}
        signature = VALIDATOR.compute_signature(PUBLIC_URL + path_and_query, params)
        request.headers["X-Twilio-Signature"] = signature
        return request


schemathesis.auth.set_from_requests(Sign())


# The limit of a text in bytes: a schema's `maxLength` counts characters.
BYTES = {"Reference": 128, "Type": 64, "reference": 128}
# The service accepts more notations of an address than a pattern could list.
ADDRESSES = ("To", "From")


def is_absent(value):
    """Whether a value counts as absent, according to the description. A schema for this would be unreadable."""
    return value in ("", None) or isinstance(value, (list, dict))


def is_too_long(name, value):
    return isinstance(value, str) and len(value.encode("utf-8", "replace")) > BYTES.get(name, 1 << 16)


@schemathesis.hook
def filter_case(context, case):
    """Leaves out the cases that only the text of the description excludes."""
    fields = {**(case.query or {}), **(case.body if isinstance(case.body, dict) else {})}
    if case.meta is not None and case.meta.generation.mode.is_negative:
        is_spoken_of = lambda name, value: is_absent(value) or name in ADDRESSES
    else:
        is_spoken_of = is_too_long
    return not any(is_spoken_of(name, value) for name, value in fields.items())
