"""PyJWT with EdDSA, ES256 and PS256, one issuer each: keys from a file, over http, and over https."""
import base64
import hashlib
import http.server
import ssl
import threading

from checks import named, passed, rejected, rows
from harness import AUDIENCE, Issuer

# Algorithm: the source of its issuer's keys.
SOURCES = {"EdDSA": "file", "ES256": "http", "PS256": "https"}
BOUND = "bound"
BODY = b'{"order": 5, "total": 2000}\n'


def prepare(world):
    """A route for each algorithm, one for all three, and one whose tokens are bound to the body."""
    world.senders = {}
    for algorithm, source in SOURCES.items():
        issuer = Issuer(algorithms=[algorithm], iss=f"https://{algorithm.lower()}.test/")
        world.senders[algorithm] = issuer
        name = algorithm.lower()
        keys = key_source(world, source, issuer)
        world.issuers[name] = {"issuer": issuer.iss, "algorithms": [algorithm], "jwks": keys}
        world.add_route(name, {"jwt": {"issuer": name, "audience": AUDIENCE}})
    names = [algorithm.lower() for algorithm in SOURCES]
    world.add_route("any", {"jwt": {"issuer": names, "audience": AUDIENCE}})
    binding = {"claim": "request_body_sha256", "algorithm": "sha256", "encoding": "hex"}
    world.add_route(BOUND, {"jwt": {"issuer": names, "audience": AUDIENCE, "body_hash": binding}})


def key_source(world, source, issuer):
    if source == "file":
        world.write("eddsa.jwks.json", issuer.jwks())
        return {"file": "eddsa.jwks.json"}
    if source == "http":
        return {"url": f"http://127.0.0.1:{serve(world, issuer.jwks())}/jwks"}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.folder / "certs/server.crt", world.folder / "certs/server.key")
    port = serve(world, issuer.jwks(), context)
    return {"url": f"https://127.0.0.1:{port}/jwks", "ca": "certs/ca.crt"}


def serve(world, text, tls=None):
    """Serves this text at every path until the world ends. Returns the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/jwk-set+json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    world.at_exit.callback(server.server_close)
    world.at_exit.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def to(route, body=BODY):
    return {"headers": {"Host": f"{route}.test"}, "body": body}


def flipped(token, part, place):
    """The token with one bit flipped."""
    parts = token.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    bit = place(data)
    data[bit // 8] ^= 1 << bit % 8
    parts[part] = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return ".".join(parts)


# --- checks -----------------------------------------------------------------------------------------------------------


def a_good_token_passes(world, algorithm):
    token = world.senders[algorithm].token(algorithm)
    for route in [algorithm.lower(), "any"]:
        for http2 in [False, True]:
            passed(world, token, http2=http2, http1=not http2, **to(route))


# Name: the part of the token, and the bit of it.
FLIPS = {
    "the signature's first bit flipped": (2, lambda data: 0),
    "a bit in the signature's middle flipped": (2, lambda data: len(data) * 4),
    "the signature's last bit flipped": (2, lambda data: len(data) * 8 - 1),
    "a bit of the subject flipped": (1, lambda data: data.index(b"shop-42") * 8),
}


def a_flipped_bit_is_rejected(world, algorithm, part, place):
    """The token passes before and after."""
    token = world.senders[algorithm].token(algorithm)
    bad = flipped(token, part, place)
    for route in [algorithm.lower(), "any"]:
        passed(world, token, **to(route))
        rejected(world, 401, "unauthorized", bad, reason="invalid_signature", **to(route))
        passed(world, token, **to(route))


def the_algorithm_of_another_issuer_is_rejected(world):
    """Signed with a valid key, which does not belong to the issuer that the token names."""
    for algorithm, sender in world.senders.items():
        for other in world.senders.values():
            token = sender.token(algorithm, iss=other.iss)
            if other is sender:
                passed(world, token, **to("any"))
            else:
                rejected(world, 401, "unauthorized", token, reason="unsupported_algorithm", **to("any"))


def bound(world, algorithm, body=BODY, **changes):
    """A token for this body alone."""
    claims = {"request_body_sha256": hashlib.sha256(body).hexdigest(), **changes}
    return world.senders[algorithm].token(algorithm, **claims)


def the_body_that_the_token_names_passes(world, algorithm):
    for body in [BODY, b"", bytes(range(256)) * 1200]:
        for http2 in [False, True]:
            passed(world, bound(world, algorithm, body), http2=http2, http1=not http2, **to(BOUND, body))
    pieces = [b"without ", b"a ", b"length"]
    passed(world, bound(world, algorithm, b"".join(pieces)), **to(BOUND, pieces))


LARGE = bytes(range(256)) * 1200
# Name: the body that the token was made for, and the body that is sent.
BODIES = {
    "another body": (BODY, BODY.replace(b"2000", b"9000")),
    "one byte more": (BODY, BODY + b"\n"),
    "one byte less": (BODY, BODY[:-1]),
    "no body": (BODY, b""),
    "a body instead of none": (b"", BODY),
    "300 kB with a different last byte": (LARGE, LARGE[:-1] + b"!"),
    "another body without a length": (BODY, [b"another ", b"body"]),
}


def another_body_is_rejected_with_the_reason(world, algorithm, named, sent):
    """The token itself is genuine, so its sender may learn the reason."""
    response = rejected(world, 401, "body_mismatch", bound(world, algorithm, named), **to(BOUND, sent))
    assert 'error="invalid_token"' in response.headers["www-authenticate"], response.headers


def a_missing_or_malformed_hash_is_rejected(world):
    digest = hashlib.sha256(BODY).digest()
    for algorithm in SOURCES:
        passed(world, bound(world, algorithm, request_body_sha256=digest.hex().upper()), **to(BOUND))
        token = bound(world, algorithm, request_body_sha256=None)
        rejected(world, 401, "missing_claim", token, **to(BOUND))
        for other in [base64.b64encode(digest).decode(), digest.hex()[:-2], "", hashlib.sha512(BODY).hexdigest()]:
            token = bound(world, algorithm, request_body_sha256=other)
            rejected(world, 401, "body_mismatch", token, **to(BOUND))


def a_forged_hash_gets_no_reason(world, algorithm):
    """An attacker who changes the body must change the hash too, and then the signature does not match."""
    other = BODY.replace(b"2000", b"9000")
    signature = bound(world, algorithm).rsplit(".", 1)[1]
    forged = f"{bound(world, algorithm, other).rsplit('.', 1)[0]}.{signature}"
    rejected(world, 401, "unauthorized", forged, reason="invalid_signature", **to(BOUND, other))


CHECKS = named(the_algorithm_of_another_issuer_is_rejected, a_missing_or_malformed_hash_is_rejected)
for algorithm in SOURCES:
    flips = {name: (algorithm, *row) for name, row in FLIPS.items()}
    bodies = {name: (algorithm, *row) for name, row in BODIES.items()}
    CHECKS |= rows(a_good_token_passes, {"a good token": [algorithm]}, of=f"{algorithm} passes")
    CHECKS |= rows(a_flipped_bit_is_rejected, flips, of=f"{algorithm} rejected")
    CHECKS |= rows(the_body_that_the_token_names_passes, {"the body it names": [algorithm]}, of=f"{algorithm} passes")
    CHECKS |= rows(another_body_is_rejected_with_the_reason, bodies, of=f"{algorithm} rejected")
    CHECKS |= rows(a_forged_hash_gets_no_reason, {"a forged hash": [algorithm]}, of=f"{algorithm} rejected")
