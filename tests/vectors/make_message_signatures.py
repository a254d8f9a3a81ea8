"""Signs requests with HTTP Message Signatures by an independent implementation, and without reading hookgate's code.

Writes message_signatures.json next to itself: keys, and requests that must pass, each with its signature base.
Run: python tests/vectors/make_message_signatures.py (needs http-message-signatures==3.0.0 of PyPI)
"""
import base64
import datetime
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

HERE = Path(__file__).resolve().parent
NOW = 1767225600                                   # 2026-01-01T00:00:00Z
CREATED = datetime.datetime.fromtimestamp(NOW - 2, tz=datetime.timezone.utc)
SECRET = hashlib.sha256(b"example-secret-of-a-sender").digest()
HOST = "https://hooks.example.com"
BODY = '{"event":"paid","amount":1}'
DEFAULT = ["@method", "@target-uri", "content-digest"]


class Headers(dict):
    """Headers with several lines of one name: the extra lines are kept apart, in order."""

    def __init__(self, lines):
        super().__init__()
        self.lines = [(name.lower(), value) for name, value in lines]
        for name, value in self.lines:
            dict.__setitem__(self, name, value)

    def __setitem__(self, name, value):
        name = name.lower()
        self.lines = [line for line in self.lines if line[0] != name] + [(name, value)]
        super().__setitem__(name, value)

    def items(self):
        return list(self.lines)


class Request:
    def __init__(self, method, target, lines):
        self.method, self.url, self.headers = method, HOST + target, Headers(lines)


def b64url(number, length):
    return base64.urlsafe_b64encode(number.to_bytes(length, "big")).decode().rstrip("=")


def rsa_jwk(key, kid, alg):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "alg": alg, "n": b64url(numbers.n, 256), "e": b64url(numbers.e, 3)}


def ec_jwk(key, kid, alg, curve, size):
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "kid": kid, "alg": alg, "crv": curve, "x": b64url(numbers.x, size), "y": b64url(numbers.y, size)}


PSS, V15 = (rsa.generate_private_key(65537, 2048) for _ in range(2))
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE = {"pss": PSS, "v15": V15, "p256": P256, "p384": P384, "ed": ED, "shared": SECRET}
ALGORITHMS = {
    "pss": algorithms.RSA_PSS_SHA512,
    "v15": algorithms.RSA_V1_5_SHA256,
    "p256": algorithms.ECDSA_P256_SHA256,
    "p384": algorithms.ECDSA_P384_SHA384,
    "ed": algorithms.ED25519,
    "shared": algorithms.HMAC_SHA256,
}
KEYS = [
    rsa_jwk(PSS, "pss", "PS512"),
    rsa_jwk(V15, "v15", "RS256"),
    ec_jwk(P256, "p256", "ES256", "P-256", 32),
    ec_jwk(P384, "p384", "ES384", "P-384", 48),
    {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA",
     "x": base64.urlsafe_b64encode(ED.public_key().public_bytes_raw()).decode().rstrip("=")},
]
vectors = []


def sign(name, key="ed", method="POST", target="/hook?a=1&b=2", lines=(), body=BODY, components=DEFAULT, required=None,
         digest=True, settings=None, **options):
    """Adds one request; `required` are the components that the route requires, if not the default ones."""
    message = Request(method, target, [("Content-Type", "application/json"), *lines])
    signer = HTTPMessageSigner(signature_algorithm=ALGORITHMS[key],
                               key_resolver=MappingKeyResolver(public_keys={}, private_keys=PRIVATE))
    options = {"created": CREATED, "label": "sig1", "key_id": key, **options}
    content = body.encode() if digest else None
    prepared = signer.prepare(message, covered_component_ids=components, body=content, **options)
    signature = ALGORITHMS[key](private_key=PRIVATE[key]).sign(prepared.signature_base)
    signer.apply(message, prepared, signature)
    settings = dict(settings or {})
    if required is not None:
        settings["required_components"] = required
    if key == "shared":
        settings["key"] = "shared"
    vectors.append({
        "id": name, "source": "PyPI http-message-signatures 3.0.0", "settings": settings,
        "request": {"method": method, "target": target,
                    "headers": [["host", "hooks.example.com"], *map(list, message.headers.items())], "body": body},
        "now": NOW, "base": prepared.signature_base.decode(), "expected": "valid",
    })


for key in ALGORITHMS:
    sign(f"default-{key}", key)
    sign(f"without-alg-{key}", key, include_alg=False)
PARTS = ["@method", "@authority", "@path", "@query", "content-digest"]
sign("parts-of-the-target", components=PARTS)
sign("request-target-and-authority", components=["@method", "@authority", "@request-target", "content-digest"])
sign("scheme", components=["@scheme", *PARTS])
sign("no-query", target="/hook", components=PARTS)
sign("empty-query", target="/hook?", components=DEFAULT)
sign("escapes-in-the-target", target="/h%C3%B6k/a%20b?x=%2F%2f&y=a+b", components=PARTS)
sign("no-body", method="GET", body="", digest=False, components=["@method", "@target-uri"])
sign("digest-of-an-empty-body", method="GET", body="", components=DEFAULT)
sign("all-parameters", nonce="n-1", tag="webhooks", expires=CREATED + datetime.timedelta(seconds=60),
     settings={"tag": "webhooks", "required_parameters": ["created", "expires", "nonce", "keyid", "alg", "tag"]})
sign("query-parameters", target="/hook?id=7&name=J%C3%BCrgen+M&empty=&odd=a*b~c", required=["@method", "@query-param;name=\"id\""],
     components=["@method", '"@query-param";name="id"', '"@query-param";name="name"', '"@query-param";name="empty"',
                 '"@query-param";name="odd"', "content-digest"])
sign("lines-of-one-header", lines=[("X-Items", "a, b"), ("X-Items", "c")], components=[*DEFAULT, "x-items"])
sign("bytes", lines=[("X-Items", "a, b"), ("X-Items", "c")], components=[*DEFAULT, '"x-items";bs'])
sign("empty-header", lines=[("X-Empty", "")], components=[*DEFAULT, "x-empty"])
sign("structured", lines=[("Priority", "u=1,   i")], components=[*DEFAULT, '"priority";sf'])
sign("structured-digest", components=["@method", "@target-uri", '"content-digest";sf'])
sign("member", lines=[("X-Dict", 'a=1,  b=2;x=1;y="q", c=(a   b), d')],
     components=[*DEFAULT, '"x-dict";key="a"', '"x-dict";key="b"', '"x-dict";key="c"', '"x-dict";key="d"'])
sign("escaped-strings", tag='a"b\\c', settings={"tag": 'a"b\\c'})

file = {"about": "Requests signed by http-message-signatures of PyPI; see make_message_signatures.py.", "keys": KEYS,
        "secret": base64.b64encode(SECRET).decode(), "vectors": vectors}
(HERE / "message_signatures.json").write_text(json.dumps(file, indent=1) + "\n")
print(len(vectors), "vectors")
