"""Signs what schemathesis sends, as an app does: with Twilio's own RequestValidator, over the public URL.

Loaded by SCHEMATHESIS_HOOKS; tests/it/openapi says where the public URL is and with what to sign.
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
    """A form as it is sent, with as much of a MultiDict as the validator asks for."""

    def __init__(self, body):
        self.pairs = parse_qsl(body, keep_blank_values=True)

    def __len__(self):
        return len(self.pairs)

    def __iter__(self):
        return (name for name, _ in self.pairs)

    def getlist(self, wanted):
        return [value for name, value in self.pairs if name == wanted]


def with_hash(path_and_query, body):
    """The hash that was drawn for the query is no more than its place: what is signed is the body's."""
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


# How many bytes a text may have: a schema's `maxLength` counts characters.
BYTES = {"Reference": 128, "Type": 64, "reference": 128}
# Of addresses more notations are understood than a pattern could name.
ADDRESSES = ("To", "From")


def is_absent(value):
    """What counts as absent, by the description's own words. A schema that said so could not be read."""
    return value in ("", None) or isinstance(value, (list, dict))


def is_too_long(name, value):
    return isinstance(value, str) and len(value.encode("utf-8", "replace")) > BYTES.get(name, 1 << 16)


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what the description says in words and its schemas do not."""
    fields = {**(case.query or {}), **(case.body if isinstance(case.body, dict) else {})}
    if case.meta is not None and case.meta.generation.mode.is_negative:
        is_spoken_of = lambda name, value: is_absent(value) or name in ADDRESSES
    else:
        is_spoken_of = is_too_long
    return not any(is_spoken_of(name, value) for name, value in fields.items())
