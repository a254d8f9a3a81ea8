"""Stripe, Standard Webhooks and Svix: their own SDKs sign, and are asked what they think of the same request."""
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
from checks import fields, passed, refused, rows

EVENT = b'{"id": "evt_1", "object": "event", "data": {"amount": 2000, "customer": "cus_4711"}}'
EVENTS = {
    "as it is usual": EVENT,
    "as no serialiser would write it again": b'{ "amount": 2000.00,\r\n\t"amount" :2E3, "\\u0061": null }\n\n',
    "beyond ASCII, escaped and not": '{"name": "Zoë 🦀", "escaped": "Zo\\u00eb \\/ \\ud83e\\udd80"}'.encode(),
    "of 300 kB": json.dumps({"id": "evt_2", "text": "x" * 300_000}).encode(),
    "that is empty": b"",
}
TOLERANCE, TIGHT = 300, 60  # seconds: of the presets and the SDKs; of a route that says otherwise


class Request(typing.NamedTuple):
    """What is sent."""

    body: bytes
    headers: dict

    def edited(self, name, edit):
        """With another value of a header, made from the one that is there; None takes the field out."""
        headers = {**self.headers, name: edit(self.headers[name])}
        return self._replace(headers={name: value for name, value in headers.items() if value is not None})

    def to(self, route):
        return {"body": self.body, "headers": {**self.headers, "Host": f"{route}.test"}, "path": "/events"}


# --- the senders ------------------------------------------------------------------------------------------------------


class Stripe:
    """One header: t=1764159000,v1=…,v1=…"""

    preset, signature = "stripe", "stripe-signature"
    # The SDK looks back only, and takes the first of two times.
    more_lenient = {"a future timestamp", "two timestamps"}

    def secret(self):
        return "whsec_" + secrets.token_urlsafe(24)

    def request(self, *signers, age=0, body=EVENT):
        """Signed by each, in one header, as while a secret is rolled."""
        sign, at = stripe.WebhookSignature.generate_signature_header, int(time.time()) - age
        signatures = [sign(body.decode(), signer, at).split(",")[1] for signer in signers]
        return Request(body, {self.signature: ",".join([f"t={at}", *signatures])})

    def verify(self, secret, request):
        header = request.headers.get(self.signature)
        stripe.WebhookSignature.verify_header(request.body, header, secret, TOLERANCE)

    # Name: what the log says, and the header's value made from a good one.
    EDITED = {
        "no timestamp": ("missing_timestamp", lambda value: value.split(",", 1)[1]),
        "two timestamps": ("malformed_timestamp", lambda value: f"{value},t=1"),
        "a timestamp that is no number": ("malformed_timestamp", lambda value: value.replace("t=", "t=x")),
        "a timestamp in milliseconds": ("malformed_timestamp", lambda value: re.sub(r"t=(\d+)", r"t=\g<1>000", value)),
        "a renewed timestamp": ("invalid_signature", lambda value: re.sub(r"t=\d+", f"t={int(time.time()) - 1}", value)),
        "a signature of the test scheme alone": ("invalid_signature", lambda value: value.replace("v1=", "v0=")),
        "a signature in capitals": ("invalid_signature", lambda value: value.upper().replace("T=", "t=").replace("V", "v")),
        "a signature cut short": ("invalid_signature", lambda value: value[:-2]),
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
        """Signed by each, in one header, as while a secret is rotated."""
        at, message = int(time.time()) - age, "msg_" + secrets.token_hex(8)
        when = datetime.datetime.fromtimestamp(at, tz=datetime.timezone.utc)
        signatures = [self.webhook(signer).sign(message, when, body.decode()) for signer in signers]
        return Request(body, {self.id: message, self.timestamp: str(at), self.signature: " ".join(signatures)})

    def verify(self, secret, request):
        # The SDK parses what it has verified, and no JSON is empty.
        options = {"json_parse": False} if self.webhook is standardwebhooks.Webhook else {}
        self.webhook(secret).verify(request.body, request.headers, **options)

    def edits(self):
        return {
            "no timestamp": ("missing_timestamp", self.timestamp, lambda _: None),
            "a timestamp that is no number": ("malformed_timestamp", self.timestamp, lambda value: "x" + value),
            "a timestamp in milliseconds": ("malformed_timestamp", self.timestamp, lambda value: value + "000"),
            "a renewed timestamp": ("invalid_signature", self.timestamp, lambda value: str(int(value) - 1)),
            "another id": ("invalid_signature", self.id, lambda value: value + "0"),
            "no id": ("missing_signed_component", self.id, lambda _: None),
            "a signature of another version alone": ("invalid_signature", self.signature, lambda v: v.replace("v1", "v1a")),
            "a signature without a version": ("invalid_signature", self.signature, lambda value: value[3:]),
            "a signature cut short": ("invalid_signature", self.signature, lambda value: value[:-4]),
        }


SDKS = [
    Stripe(),
    StandardWebhooks("standard-webhooks", "webhook", standardwebhooks.Webhook),
    StandardWebhooks("svix", "svix", svix.webhooks.Webhook),
]


# --- the gateway's side -----------------------------------------------------------------------------------------------


def prepare(world):
    """Three routes for each: one secret; two, while they are rotated; and less patience."""
    for sdk in SDKS:
        sdk.new, sdk.old, sdk.strange = sdk.secret(), sdk.secret(), sdk.secret()
        new, old = (world.secret_file(f"{sdk.preset}-{age}", getattr(sdk, age)) for age in ["new", "old"])
        world.add_route(sdk.preset, {"preset": sdk.preset, "secret": new})
        world.add_route(f"{sdk.preset}-rotating", {"preset": sdk.preset, "secrets": [new, old]})
        world.add_route(f"{sdk.preset}-tight", {"preset": sdk.preset, "secret": new, "tolerance": f"{TIGHT}s"})


def accept(world, sdk, request, route=None, **options):
    """It arrives as it was sent, so that the app could verify it once more."""
    world.tokens.append(request.headers[sdk.signature])
    _, seen = passed(world, **request.to(route or sdk.preset), **options)
    arrived = {name: fields(seen, name) for name in request.headers}
    assert arrived == {name: [value] for name, value in request.headers.items()}, arrived
    return request


def refuse(world, sdk, reason, request, route=None):
    """A stranger is not told why."""
    world.tokens += filter(None, [request.headers.get(sdk.signature)])
    return refused(world, 401, "unauthorized", reason=reason, **request.to(route or sdk.preset))


def takes(sdk, secret, request):
    try:
        sdk.verify(secret, request)
    except Exception:  # the SDKs' own errors, and what their parsers let escape
        return False
    return True


def last_used(world, route):
    """When each of the two secrets has verified a request last, in Unix seconds."""
    name = "hookgate_secret_last_used_timestamp_seconds"
    return [world.metric(f'{name}{{index="{index}",route="{route}"}}') for index in range(2)]


# --- checks -----------------------------------------------------------------------------------------------------------


def an_event_arrives_as_it_was_sent(world, sdk, body):
    for http2 in [False, True]:
        request = accept(world, sdk, sdk.request(sdk.new, body=body), http2=http2, http1=not http2)
        assert takes(sdk, sdk.new, request)
    # Without a length, in pieces.
    request = sdk.request(sdk.new, body=body)
    half = len(body) // 2
    passed(world, **{**request.to(sdk.preset), "body": [body[:half], body[half:]]})


def a_clock_may_be_off_within_the_tolerance(world, sdk):
    for age in [TOLERANCE - 20, 20 - TOLERANCE]:
        assert takes(sdk, sdk.new, accept(world, sdk, sdk.request(sdk.new, age=age)))
    tight = f"{sdk.preset}-tight"
    accept(world, sdk, sdk.request(sdk.new, age=TIGHT - 20), route=tight)
    refuse(world, sdk, "timestamp_too_old", sdk.request(sdk.new, age=TIGHT + 20), route=tight)
    refuse(world, sdk, "timestamp_in_future", sdk.request(sdk.new, age=-TIGHT - 20), route=tight)


# Name: what the log says, and the request.
FORGED = {
    "a changed body": ("invalid_signature", lambda s: s.request(s.new)._replace(body=EVENT.replace(b"2000", b"9000"))),
    "a line break more": ("invalid_signature", lambda s: s.request(s.new)._replace(body=EVENT + b"\n")),
    "no body": ("invalid_signature", lambda s: s.request(s.new)._replace(body=b"")),
    "an old timestamp": ("timestamp_too_old", lambda s: s.request(s.new, age=TOLERANCE + 10)),
    "a future timestamp": ("timestamp_in_future", lambda s: s.request(s.new, age=-TOLERANCE - 10)),
    "a secret that serves no more": ("invalid_signature", lambda s: s.request(s.old)),
    "a wrong secret": ("invalid_signature", lambda s: s.request(s.strange)),
    "two wrong secrets": ("invalid_signature", lambda s: s.request(s.old, s.strange)),
    "no signature": ("missing_credential", lambda s: s.request(s.new).edited(s.signature, lambda _: None)),
    "an empty signature": ("invalid_signature", lambda s: s.request(s.new).edited(s.signature, lambda _: "")),
}


def forgeries(sdk):
    """Each differs from what passes in one thing."""
    made = {name: (reason, lambda make=make: make(sdk)) for name, (reason, make) in FORGED.items()}
    for name, (reason, header, edit) in sdk.edits().items():
        made[name] = reason, lambda header=header, edit=edit: sdk.request(sdk.new).edited(header, edit)
    return {name: (sdk, name, *row) for name, row in made.items()}


def a_forgery_is_refused(world, sdk, name, reason, make):
    request = make()
    refuse(world, sdk, reason, request)
    assert takes(sdk, sdk.new, request) == (name in sdk.more_lenient)


def both_secrets_serve_and_the_metric_tells_which(world, sdk):
    """The first to use this route."""
    route, begun = f"{sdk.preset}-rotating", int(time.time())
    assert last_used(world, route) == [None, None]
    refuse(world, sdk, "invalid_signature", sdk.request(sdk.strange), route)
    assert last_used(world, route) == [None, None]
    accept(world, sdk, sdk.request(sdk.old), route)
    new, old = last_used(world, route)
    assert new is None and begun <= old <= time.time()
    accept(world, sdk, sdk.request(sdk.new), route)
    new, unchanged = last_used(world, route)
    assert begun <= new <= time.time() and unchanged == old


def one_good_signature_of_several_suffices(world, sdk):
    for signers in [(sdk.old, sdk.new), (sdk.new, sdk.old), (sdk.strange, sdk.old, sdk.new)]:
        assert takes(sdk, sdk.new, accept(world, sdk, sdk.request(*signers)))
    rotating = f"{sdk.preset}-rotating"
    for signers in [(sdk.old, sdk.new), (sdk.strange, sdk.old)]:
        accept(world, sdk, sdk.request(*signers), rotating)
    refuse(world, sdk, "invalid_signature", sdk.request(sdk.strange, sdk.strange), rotating)


def signatures_of_other_kinds_are_passed_over(world, sdk):
    others = {"stripe": lambda value: f"{value},v0={'6f' * 32}"}
    edit = others.get(sdk.preset, lambda value: f"v1a,{'A' * 86}== {value} v2,QUJD")
    assert takes(sdk, sdk.new, accept(world, sdk, sdk.request(sdk.new).edited(sdk.signature, edit)))


CHECKS = {}
for sdk in SDKS:
    CHECKS |= rows(an_event_arrives_as_it_was_sent, {name: (sdk, body) for name, body in EVENTS.items()},
                   of=f"{sdk.preset} passes: an event")
    CHECKS |= rows(a_forgery_is_refused, forgeries(sdk), of=f"{sdk.preset} refused")
    each = [
        a_clock_may_be_off_within_the_tolerance, both_secrets_serve_and_the_metric_tells_which,
        one_good_signature_of_several_suffices, signatures_of_other_kinds_are_passed_over,
    ]
    for check in each:
        CHECKS |= rows(check, {check.__name__.replace("_", " "): (sdk,)}, of=sdk.preset)
