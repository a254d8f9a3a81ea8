"""Stripe, Standard Webhooks and Svix: their own SDKs sign, and verify the same request for comparison."""
import base64
import datetime
import json
import re
import secrets
import time
import typing

import standardwebhooks
import stripe
import svix.webhooks
from checks import fields, passed, rejected, rows

EVENT = b'{"id": "evt_1", "object": "event", "data": {"amount": 2000, "customer": "cus_4711"}}'
EVENTS = {
    "in the usual form": EVENT,
    "that no serialiser would reproduce": b'{ "amount": 2000.00,\r\n\t"amount" :2E3, "\\u0061": null }\n\n',
    "beyond ASCII, escaped and not": '{"name": "Zoë 🦀", "escaped": "Zo\\u00eb \\/ \\ud83e\\udd80"}'.encode(),
    "of 300 kB": json.dumps({"id": "evt_2", "text": "x" * 300_000}).encode(),
    "that is empty": b"",
}
TOLERANCE, TIGHT = 300, 60  # seconds: the default of presets and SDKs; the setting of one route


class Request(typing.NamedTuple):
    """Body and headers of a request."""

    body: bytes
    headers: dict

    def edited(self, name, edit):
        """The request with a changed header. `edit` maps the old value to the new one, or to None to remove the header."""
        headers = {**self.headers, name: edit(self.headers[name])}
        return self._replace(headers={name: value for name, value in headers.items() if value is not None})

    def to(self, route):
        return {"body": self.body, "headers": {**self.headers, "Host": f"{route}.test"}, "path": "/events"}


# --- the senders ------------------------------------------------------------------------------------------------------


class Stripe:
    """One header: t=1764159000,v1=…,v1=…"""

    preset, signature = "stripe", "stripe-signature"
    # The SDK rejects only old timestamps, and uses the first of two.
    more_lenient = {"a future timestamp", "two timestamps"}

    def secret(self):
        return "whsec_" + secrets.token_urlsafe(24)

    def request(self, *signers, age=0, body=EVENT):
        """Signed with each secret, in one header, as during a rotation."""
        sign, at = stripe.WebhookSignature.generate_signature_header, int(time.time()) - age
        signatures = [sign(body.decode(), signer, at).split(",")[1] for signer in signers]
        return Request(body, {self.signature: ",".join([f"t={at}", *signatures])})

    def verify(self, secret, request):
        header = request.headers.get(self.signature)
        stripe.WebhookSignature.verify_header(request.body, header, secret, TOLERANCE)

    # Name: the reason in the log, and the change of a valid header value.
    EDITED = {
        "no timestamp": ("missing_timestamp", lambda value: value.split(",", 1)[1]),
        "two timestamps": ("malformed_timestamp", lambda value: f"{value},t=1"),
        "a timestamp that is no number": ("malformed_timestamp", lambda value: value.replace("t=", "t=x")),
        "a timestamp in milliseconds": ("malformed_timestamp", lambda value: re.sub(r"t=(\d+)", r"t=\g<1>000", value)),
        "a changed timestamp": ("invalid_signature", lambda value: re.sub(r"t=\d+", f"t={int(time.time()) - 1}", value)),
        "a signature of the test scheme alone": ("invalid_signature", lambda value: value.replace("v1=", "v0=")),
        "a signature in upper case": ("invalid_signature", lambda value: value.upper().replace("T=", "t=").replace("V", "v")),
        "a truncated signature": ("invalid_signature", lambda value: value[:-2]),
    }

    def edits(self):
        return {name: (reason, self.signature, edit) for name, (reason, edit) in self.EDITED.items()}


class StandardWebhooks:
    """Three headers: an id, a time, and signatures as v1,… v1,…"""

    more_lenient = frozenset()

    def __init__(self, preset, prefix, webhook):
        self.preset, self.webhook = preset, webhook
        self.id, self.timestamp, self.signature = (f"{prefix}-{name}" for name in ["id", "timestamp", "signature"])

    def secret(self):
        return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

    def request(self, *signers, age=0, body=EVENT):
        """Signed with each secret, in one header, as during a rotation."""
        at, message = int(time.time()) - age, "msg_" + secrets.token_hex(8)
        when = datetime.datetime.fromtimestamp(at, tz=datetime.timezone.utc)
        signatures = [self.webhook(signer).sign(message, when, body.decode()) for signer in signers]
        return Request(body, {self.id: message, self.timestamp: str(at), self.signature: " ".join(signatures)})

    def verify(self, secret, request):
        # The SDK parses the verified body, and an empty body is not JSON.
        options = {"json_parse": False} if self.webhook is standardwebhooks.Webhook else {}
        self.webhook(secret).verify(request.body, request.headers, **options)

    def edits(self):
        return {
            "no timestamp": ("missing_timestamp", self.timestamp, lambda _: None),
            "a timestamp that is no number": ("malformed_timestamp", self.timestamp, lambda value: "x" + value),
            "a timestamp in milliseconds": ("malformed_timestamp", self.timestamp, lambda value: value + "000"),
            "a changed timestamp": ("invalid_signature", self.timestamp, lambda value: str(int(value) - 1)),
            "another id": ("invalid_signature", self.id, lambda value: value + "0"),
            "no id": ("missing_signed_component", self.id, lambda _: None),
            "a signature of another version alone": ("invalid_signature", self.signature, lambda v: v.replace("v1", "v1a")),
            "a signature without a version": ("invalid_signature", self.signature, lambda value: value[3:]),
            "a truncated signature": ("invalid_signature", self.signature, lambda value: value[:-4]),
        }


SDKS = [
    Stripe(),
    StandardWebhooks("standard-webhooks", "webhook", standardwebhooks.Webhook),
    StandardWebhooks("svix", "svix", svix.webhooks.Webhook),
]


# --- the gateway's side -----------------------------------------------------------------------------------------------


def prepare(world):
    """Three routes for each SDK: with one secret, with two during a rotation, and with a shorter tolerance."""
    for sdk in SDKS:
        sdk.new, sdk.old, sdk.unknown = sdk.secret(), sdk.secret(), sdk.secret()
        new, old = (world.secret_file(f"{sdk.preset}-{age}", getattr(sdk, age)) for age in ["new", "old"])
        world.add_route(sdk.preset, {"preset": sdk.preset, "secret": new})
        world.add_route(f"{sdk.preset}-rotating", {"preset": sdk.preset, "secrets": [new, old]})
        world.add_route(f"{sdk.preset}-tight", {"preset": sdk.preset, "secret": new, "tolerance": f"{TIGHT}s"})


def accept(world, sdk, request, route=None, **options):
    """Asserts that the request is forwarded unchanged, so that the upstream could verify it again."""
    world.tokens.append(request.headers[sdk.signature])
    _, seen = passed(world, **request.to(route or sdk.preset), **options)
    arrived = {name: fields(seen, name) for name in request.headers}
    assert arrived == {name: [value] for name, value in request.headers.items()}, arrived
    return request


def reject(world, sdk, reason, request, route=None):
    """Asserts that an unauthenticated client does not learn the reason."""
    world.tokens += filter(None, [request.headers.get(sdk.signature)])
    return rejected(world, 401, "unauthorized", reason=reason, **request.to(route or sdk.preset))


def accepted_by_sdk(sdk, secret, request):
    try:
        sdk.verify(secret, request)
    except Exception:  # the SDKs' own errors, and errors of their parsers
        return False
    return True


def last_used(world, route):
    """The Unix times at which each of the two secrets last verified a request."""
    name = "hookgate_secret_last_used_timestamp_seconds"
    return [world.metric(f'{name}{{index="{index}",route="{route}"}}') for index in range(2)]


# --- checks -----------------------------------------------------------------------------------------------------------


def an_event_is_forwarded_unchanged(world, sdk, body):
    for http2 in [False, True]:
        request = accept(world, sdk, sdk.request(sdk.new, body=body), http2=http2, http1=not http2)
        assert accepted_by_sdk(sdk, sdk.new, request)
    # In chunks, without a content length.
    request = sdk.request(sdk.new, body=body)
    half = len(body) // 2
    passed(world, **{**request.to(sdk.preset), "body": [body[:half], body[half:]]})


def a_clock_may_be_off_within_the_tolerance(world, sdk):
    for age in [TOLERANCE - 20, 20 - TOLERANCE]:
        assert accepted_by_sdk(sdk, sdk.new, accept(world, sdk, sdk.request(sdk.new, age=age)))
    tight = f"{sdk.preset}-tight"
    accept(world, sdk, sdk.request(sdk.new, age=TIGHT - 20), route=tight)
    reject(world, sdk, "timestamp_too_old", sdk.request(sdk.new, age=TIGHT + 20), route=tight)
    reject(world, sdk, "timestamp_in_future", sdk.request(sdk.new, age=-TIGHT - 20), route=tight)


# Name: the reason in the log, and the request.
FORGED = {
    "a changed body": ("invalid_signature", lambda s: s.request(s.new)._replace(body=EVENT.replace(b"2000", b"9000"))),
    "an additional line break": ("invalid_signature", lambda s: s.request(s.new)._replace(body=EVENT + b"\n")),
    "no body": ("invalid_signature", lambda s: s.request(s.new)._replace(body=b"")),
    "an old timestamp": ("timestamp_too_old", lambda s: s.request(s.new, age=TOLERANCE + 10)),
    "a future timestamp": ("timestamp_in_future", lambda s: s.request(s.new, age=-TOLERANCE - 10)),
    "a retired secret": ("invalid_signature", lambda s: s.request(s.old)),
    "a wrong secret": ("invalid_signature", lambda s: s.request(s.unknown)),
    "two wrong secrets": ("invalid_signature", lambda s: s.request(s.old, s.unknown)),
    "no signature": ("missing_credential", lambda s: s.request(s.new).edited(s.signature, lambda _: None)),
    "an empty signature": ("invalid_signature", lambda s: s.request(s.new).edited(s.signature, lambda _: "")),
}


def forgeries(sdk):
    """Requests that differ from a valid one in one point each."""
    made = {name: (reason, lambda make=make: make(sdk)) for name, (reason, make) in FORGED.items()}
    for name, (reason, header, edit) in sdk.edits().items():
        made[name] = reason, lambda header=header, edit=edit: sdk.request(sdk.new).edited(header, edit)
    return {name: (sdk, name, *row) for name, row in made.items()}


def a_forgery_is_rejected(world, sdk, name, reason, make):
    request = make()
    reject(world, sdk, reason, request)
    assert accepted_by_sdk(sdk, sdk.new, request) == (name in sdk.more_lenient)


def both_secrets_verify_and_the_metric_shows_which(world, sdk):
    """This is the first check that uses this route."""
    route, begun = f"{sdk.preset}-rotating", int(time.time())
    assert last_used(world, route) == [None, None]
    reject(world, sdk, "invalid_signature", sdk.request(sdk.unknown), route)
    assert last_used(world, route) == [None, None]
    accept(world, sdk, sdk.request(sdk.old), route)
    new, old = last_used(world, route)
    assert new is None and begun <= old <= time.time()
    accept(world, sdk, sdk.request(sdk.new), route)
    new, unchanged = last_used(world, route)
    assert begun <= new <= time.time() and unchanged == old


def one_good_signature_of_several_suffices(world, sdk):
    for signers in [(sdk.old, sdk.new), (sdk.new, sdk.old), (sdk.unknown, sdk.old, sdk.new)]:
        assert accepted_by_sdk(sdk, sdk.new, accept(world, sdk, sdk.request(*signers)))
    rotating = f"{sdk.preset}-rotating"
    for signers in [(sdk.old, sdk.new), (sdk.unknown, sdk.old)]:
        accept(world, sdk, sdk.request(*signers), rotating)
    reject(world, sdk, "invalid_signature", sdk.request(sdk.unknown, sdk.unknown), rotating)


def signatures_of_other_kinds_are_ignored(world, sdk):
    others = {"stripe": lambda value: f"{value},v0={'6f' * 32}"}
    edit = others.get(sdk.preset, lambda value: f"v1a,{'A' * 86}== {value} v2,QUJD")
    assert accepted_by_sdk(sdk, sdk.new, accept(world, sdk, sdk.request(sdk.new).edited(sdk.signature, edit)))


CHECKS = {}
for sdk in SDKS:
    CHECKS |= rows(an_event_is_forwarded_unchanged, {name: (sdk, body) for name, body in EVENTS.items()},
                   of=f"{sdk.preset} passes: an event")
    CHECKS |= rows(a_forgery_is_rejected, forgeries(sdk), of=f"{sdk.preset} rejected")
    each = [
        a_clock_may_be_off_within_the_tolerance, both_secrets_verify_and_the_metric_shows_which,
        one_good_signature_of_several_suffices, signatures_of_other_kinds_are_ignored,
    ]
    for check in each:
        CHECKS |= rows(check, {check.__name__.replace("_", " "): (sdk,)}, of=sdk.preset)
