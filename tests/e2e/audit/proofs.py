"""Shows without hookgate that each weakness of the gallery is there, and that the good endpoints have none.

    target/venv/bin/python tests/e2e/audit/proofs.py [--hookgate BINARY] [ENDPOINT ...]

Each proof is one attack, made of the requests of the provider's SDK or of PyJWT. Every proof is tried at every
endpoint, and the result is compared with `expected` and `allowed` of gallery.yaml.
"""
import argparse
import base64
import collections
import contextlib
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import sys
import time

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from gallery import DECLARED, ENVIRONMENT, Gallery, all_claims, message

TOKEN_HEADERS = {"typ": "JWT"}
TIMED = {"stripe", "standard-webhooks"}
NULL = {"kid": "../../../../../../../../dev/null"}
PROOFS = {}


def proof(rule, depth, of=None):
    """Registers a proof; it is tried where the sender's scheme is `of`, and returns whether the weakness is there."""
    def register(function):
        PROOFS.setdefault(rule, []).append((depth, of, function))
        return function

    return register


class Endpoint:
    """An endpoint under attack."""

    def __init__(self, gallery, declared):
        self.gallery, self.declared, self.url = gallery, declared, gallery.url(declared)
        self.folder, self.given = gallery.folder, declared.get("given", {})
        self.scheme = self.given.get("preset") or next(iter(self.given.get("route", {}).get("auth", {})), None)
        self.issuer = (gallery.folder / "issuer.key").read_bytes()
        self.tls = ssl.create_default_context(cafile=gallery.folder / "ca.pem")
        self.verify = False if "other-name" in declared["app"] else self.tls

    def genuine(self, **changes):
        return self.gallery.genuine(self.declared, **changes)

    def send(self, headers=(), body=b'{"id":"x","type":"audit"}', method="POST", url=None, waits=True):
        # Pairs may name a header twice.
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        with httpx.Client(verify=self.verify, trust_env=False, timeout=90) as client:
            response = client.request(method, url or self.url, content=body, headers=pairs)
            if waits and response.status_code == 429 and "retry-after" in response.headers:
                # A rejection for the rate says nothing about the request.
                time.sleep(int(response.headers["retry-after"]))
                response = client.request(method, url or self.url, content=body, headers=pairs)
            return response

    def accepts(self, *request, **options):
        return self.send(*request, **options).is_success

    def accepts_token(self, token):
        return self.accepts({"Authorization": f"Bearer {token}"})

    def accepts_claims(self, header=None, **claims):
        return self.accepts(*self.genuine(claims=claims, header=header))


# --- without anything -------------------------------------------------------------------------------------------------


@proof("unauthenticated-accepted", "blind")
def unauthenticated(endpoint):
    return endpoint.accepts()


@proof("bearer-presence-only", "blind")
def bearer_presence(endpoint):
    return endpoint.accepts_token("x" * 32)


def now(seconds):
    return int(time.time()) + seconds


def random_base64():
    return base64.b64encode(os.urandom(32)).decode()


SIGNATURES = [
    lambda: {"X-Hub-Signature-256": "sha256=" + os.urandom(32).hex()},
    lambda: {"Stripe-Signature": f"t={now(0)},v1={os.urandom(32).hex()}"},
    lambda: {"webhook-id": "x", "webhook-timestamp": str(now(0)), "webhook-signature": "v1," + random_base64()},
    lambda: {"X-Signature": os.urandom(32).hex(), "X-Timestamp": str(now(0))},
]


@proof("signature-presence-only", "blind")
def signature_presence(endpoint):
    return any(endpoint.accepts(make()) for make in SIGNATURES)


@proof("signature-empty-accepted", "blind")
def signature_empty(endpoint):
    empty = ["X-Hub-Signature-256", "Stripe-Signature", "webhook-signature", "X-Signature"]
    return any(endpoint.accepts({name: value}) for name in empty for value in ["", "sha256="])


@proof("token-alg-none", "blind")
def alg_none(endpoint, claims=None):
    claims = claims or {"sub": "x", "exp": now(300)}
    return any(endpoint.accepts_token(compact({"alg": alg}, claims)) for alg in ["none", "None"])


@proof("token-kid-injection", "blind")
def kid_injection(endpoint):
    return endpoint.accepts_token(hs256(b"", NULL, {"sub": "x"}))


@proof("token-embedded-key", "blind")
def embedded_key(endpoint, **claims):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = jwt.get_algorithm_by_name("RS256").to_jwk(key.public_key(), as_dict=True)
    return endpoint.accepts_token(jwt.encode({"sub": "x", **claims}, key, "RS256", {"jwk": jwk}))


@proof("forwarded-header-bypass", "blind")
def forwarded(endpoint):
    return endpoint.accepts({"X-Forwarded-For": "127.0.0.1"})


@proof("path-variant-bypass", "blind")
def path_variant(endpoint):
    return any(endpoint.accepts(url=url) for url in [endpoint.url + "/", variant(endpoint.url, str.upper)])


@proof("method-override", "blind")
def method_override(endpoint):
    return endpoint.accepts({"X-HTTP-Method-Override": "POST"}, method="GET")


@proof("server-error", "blind")
def server_error(endpoint):
    bodies = [b"{", b"[" * 2000, b"\xff", b"", b"[]", b"null"]
    headers = [{"Authorization": "Bearer a.b.c"}, *[make() for make in SIGNATURES]]
    letters = lambda value: value[: len(value) // 2].encode() + "é".encode()
    headers += [{name: letters(value) if "ignature" in name else value.encode() for name, value in given.items()}
                for given in headers[1:]]
    return any(endpoint.send(header, body).status_code >= 500 for header in headers for body in bodies)


@proof("error-page-framework", "blind")
def error_page(endpoint):
    responses = [endpoint.send(SIGNATURES[0](), body) for body in [b"{}", b"{"]]
    texts = re.compile(r"Traceback|node_modules/|/gems/|site-packages/|<title>[\w:]+ at ")
    return any(texts.search(response.text) or "x-powered-by" in response.headers for response in responses)


@proof("body-limit-missing", "blind")
def body_limit(endpoint):
    """Neither an error nor the end comes in a second after 1 GiB is announced and not sent, with a signature."""
    url = httpx.URL(endpoint.url)
    headers = {"Host": url.host, "Content-Length": 1 << 30, "Content-Type": "application/json", **SIGNATURES[0]()}
    lines = [f"POST {url.path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    with contextlib.ExitStack() as held:
        stream = held.enter_context(socket.create_connection((url.host, url.port)))
        if url.scheme == "https":
            context = ssl._create_unverified_context()
            stream = held.enter_context(context.wrap_socket(stream))
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        stream.settimeout(1)
        with contextlib.suppress(TimeoutError):
            return not stream.recv(100)
        return True


@proof("rejection-rate-unlimited", "blind")
def rejection_rate(endpoint):
    headers = SIGNATURES[0]()
    with httpx.Client(verify=endpoint.verify, trust_env=False) as client:  # one connection, to be fast enough
        return all(client.post(endpoint.url, content=b"{}", headers=headers).status_code != 429 for _ in range(60))


# --- with a captured request ------------------------------------------------------------------------------------------


@proof("signature-body-unbound", "captured", of="signature")
def body_unbound(endpoint):
    headers, body = endpoint.genuine()
    return endpoint.accepts(headers, json.dumps(json.loads(body) | {"more": 1}, separators=(",", ":")).encode())


@proof("signature-truncated", "captured")
def truncated(endpoint):
    headers, body = endpoint.genuine()
    names = [name for name in headers if "ignature" in name or name == "Authorization"]
    return any(endpoint.accepts(headers | {name: headers[name][:-20]}, body) for name in names)


@proof("timestamp-uncovered", "captured", of="signature")
def timestamp_uncovered(endpoint):
    headers, body = endpoint.genuine()
    now = re.compile(rf"\b{str(int(time.time()))[:7]}\d{{3}}\b")
    changed = {name: now.sub(lambda found: str(int(found[0]) - 2), value) for name, value in headers.items()}
    return changed != headers and endpoint.accepts(changed, body)


@proof("replay-accepted", "captured")
def replay(endpoint):
    request = endpoint.genuine()
    first, second = endpoint.send(*request), endpoint.send(*request)
    return first.is_success and second.is_success and first.text == second.text


@proof("token-in-query", "captured", of="jwt")
def token_in_query(endpoint):
    headers, body = endpoint.genuine()
    token = headers.pop("Authorization").removeprefix("Bearer ")
    return endpoint.accepts(headers, body, url=f"{endpoint.url}?access_token={token}")


@proof("method-unbound", "captured")
def method_unbound(endpoint):
    return endpoint.accepts(*endpoint.genuine(), method="PUT")


@proof("credential-oracle", "captured")
def oracle(endpoint):
    """Responses to a wrong signature, a wrong and old one and a malformed one, or to a forged and a malformed token."""
    if endpoint.scheme == "jwt":
        wrong = [{"Authorization": f"Bearer {token}"} for token in ["x", hs256(b"x", {}, {"sub": "x"})]]
    else:
        headers, _ = endpoint.genuine()
        old, _ = endpoint.genuine(at=now(-7200))
        malformed = {name: "x" if "ignature" in name else value for name, value in headers.items()}
        wrong = [headers, old, malformed]
    responses = [endpoint.send(headers, b'{"id":"other"}') for headers in wrong]
    # The id of a request differs in each response.
    kinds = {(response.status_code, re.sub("[0-9a-f]{32}", "", response.text))
             for response in responses if response.status_code in {400, 401, 403}}
    return len(kinds) > 1


@proof("multiple-credentials", "captured", of="jwt")
def two_credentials(endpoint):
    headers, body = endpoint.genuine()
    rest = [(name, value) for name, value in headers.items() if name != "Authorization"]
    wrong = ("Authorization", "Bearer x")
    return endpoint.accepts([*rest, wrong, ("Authorization", headers["Authorization"])], body)


# --- with the key -----------------------------------------------------------------------------------------------------


@proof("signature-wrong-key", "key", of="signature")
def wrong_secret(endpoint):
    return endpoint.accepts(*endpoint.genuine(secret="whsec_" + random_base64()))


@proof("signature-empty-key", "key", of="github")
def empty_secret(endpoint):
    return endpoint.accepts(*endpoint.genuine(secret=""))


@proof("signature-downgrade", "key", of="github")
def sha1(endpoint):
    headers, body = endpoint.genuine()
    del headers["X-Hub-Signature-256"]
    older = hmac.new(ENVIRONMENT["GITHUB_SECRET"].encode(), body, hashlib.sha1).hexdigest()
    return endpoint.accepts(headers | {"X-Hub-Signature": f"sha1={older}"}, body)


@proof("signature-downgrade", "key", of="stripe")
def v0(endpoint):
    headers, body = endpoint.genuine()
    return endpoint.accepts(headers | {"Stripe-Signature": headers["Stripe-Signature"].replace("v1=", "v0=")}, body)


@proof("timestamp-stale", "key", of="signature")
def stale(endpoint):
    return endpoint.scheme in TIMED and endpoint.accepts(*endpoint.genuine(at=now(-3600)))


@proof("timestamp-future", "key", of="signature")
def future(endpoint):
    return endpoint.scheme in TIMED and endpoint.accepts(*endpoint.genuine(at=now(3600)))


@proof("replay-changed-id", "captured", of="signature")
def changed_id(endpoint):
    headers, body = endpoint.genuine()
    if "X-GitHub-Delivery" not in headers:
        return False
    first, second = (endpoint.send(headers | {"X-GitHub-Delivery": os.urandom(8).hex()}, body) for _ in range(2))
    return first.is_success and second.is_success and first.text == second.text


@proof("retry-lost", "key")
def retry_lost(endpoint):
    headers, body = endpoint.genuine()
    url = httpx.URL(endpoint.url)
    if url.scheme == "https":
        return False
    with socket.create_connection((url.host, url.port)) as stream:
        stream.sendall(message(endpoint.declared, headers, body)[: -len(body) // 2])
        # The application ends the connection when it sees that this side has ended its own.
        stream.shutdown(socket.SHUT_WR)
        stream.settimeout(5)
        with contextlib.suppress(OSError):
            while stream.recv(4096):
                pass
    return not endpoint.accepts(headers, body)


@proof("secret-in-response", "key", of="github")
def expected_in_response(endpoint):
    right = hmac.new(ENVIRONMENT["GITHUB_SECRET"].encode(), b"{}", hashlib.sha256).hexdigest()
    return right in endpoint.send(SIGNATURES[0](), b"{}").text


@proof("token-wrong-key", "key", of="jwt")
def wrong_key(endpoint):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return endpoint.accepts(*endpoint.genuine(key=key))


@proof("token-alg-none", "key", of="jwt")
def alg_none_of_issuer(endpoint):
    return alg_none(endpoint, all_claims(now(0), {}))


@proof("token-embedded-key", "key", of="jwt")
def embedded_key_of_issuer(endpoint):
    return embedded_key(endpoint, **all_claims(now(0), {}))


@proof("token-kid-injection", "key", of="jwt")
def kid_injection_of_issuer(endpoint):
    return endpoint.accepts_token(hs256(b"", NULL, all_claims(now(0), {})))


@proof("token-algorithm-confusion", "key", of="jwt")
def confusion(endpoint):
    public = (endpoint.folder / "issuer.pub.pem").read_bytes()
    return endpoint.accepts_token(hs256(public, {}, all_claims(now(0), {})))


CLAIMS = {
    "token-wrong-audience": lambda: {"aud": "https://other.test/"},
    "token-no-audience": lambda: {"aud": None},
    "token-wrong-issuer": lambda: {"iss": "https://other.test/"},
    "token-no-issuer": lambda: {"iss": None},
    "token-expired": lambda: {"iat": now(-7200), "nbf": now(-7200), "exp": now(-3600)},
    "token-no-expiry": lambda: {"exp": None},
    "token-not-yet-valid": lambda: {"nbf": now(3600), "exp": now(7200)},
    "token-issued-in-future": lambda: {"iat": now(3600), "exp": now(7200)},
    "token-scope-missing": lambda: {"event_scope": None},
}
for rule, claims in CLAIMS.items():
    proof(rule, "key", of="jwt")(lambda endpoint, claims=claims: endpoint.accepts_claims(**claims()))


@proof("token-crit-ignored", "key", of="jwt")
def crit(endpoint):
    return endpoint.accepts_claims(header={"crit": ["gallery"], "gallery": True})


@proof("token-type-confusion", "key", of="jwt")
def typ(endpoint):
    return endpoint.accepts_claims(header={"typ": "logout+jwt"})


@proof("token-duplicate-claims", "key", of="jwt")
def duplicate(endpoint):
    claims = json.dumps(all_claims(now(0), {}))
    payload = claims[:-1] + ', "iss": "https://evil.example/"}'
    return endpoint.accepts_token(jwt.api_jws.encode(payload.encode(), endpoint.issuer, "RS256"))


# --- tokens by hand ---------------------------------------------------------------------------------------------------


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def compact(header, claims):
    return f"{part(TOKEN_HEADERS | header)}.{part(claims)}."


def hs256(secret, header, claims):
    signed = compact({"alg": "HS256", **header}, claims)[:-1]
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def variant(url, change):
    start, _, path = url.rpartition("/")
    return f"{start}/{change(path)}"


# --- TLS --------------------------------------------------------------------------------------------------------------


def handshake(endpoint, context):
    url = httpx.URL(endpoint.url)
    with socket.create_connection((url.host, url.port)) as stream:
        with context.wrap_socket(stream, server_hostname=url.host) as tls:
            return tls.getpeercert()


@proof("tls-old-version", "blind")
def old_tls(endpoint):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with contextlib.suppress(OSError):
        handshake(endpoint, context)
        return True
    return False


@proof("upstream-exposed", "blind")
def exposed(endpoint):
    options = endpoint.declared.get("options", {}).get("blind", [])
    if "--upstream-direct" not in options:
        return False
    second = endpoint.gallery.ports[endpoint.gallery.apps[endpoint.declared["app"]]["behind"]]
    return endpoint.send(url=options[1].replace("SECOND", str(second))).status_code > 0


@proof("timing-oracle", "key", of="github")
def slow_comparison(endpoint):
    """Twenty rejections of each kind: those of an almost right signature take longer than all of a wrong one."""
    if "slow" not in endpoint.declared["name"]:
        return False  # what is faster cannot be shown here
    times = {0: [], -1: []}
    for _ in range(20):
        for at in times:
            headers, body = endpoint.genuine()
            signature = list(headers["X-Hub-Signature-256"].removeprefix("sha256="))
            signature[at] = "a" if signature[at] != "a" else "b"
            started = time.perf_counter()
            endpoint.send(headers | {"X-Hub-Signature-256": "sha256=" + "".join(signature)}, body)
            times[at].append(time.perf_counter() - started)
    return sorted(times[0])[10] < sorted(times[-1])[5]


@proof("tls-certificate-invalid", "blind")
def invalid_certificate(endpoint):
    if not endpoint.url.startswith("https"):
        return False
    try:
        handshake(endpoint, endpoint.tls)
    except ssl.SSLCertVerificationError:
        return True
    return False


@proof("tls-certificate-expiring", "blind")
def expiring(endpoint):
    with contextlib.suppress(OSError):
        end = handshake(endpoint, endpoint.tls)["notAfter"]
        return ssl.cert_time_to_seconds(end) < time.time() + 14 * 24 * 3600
    return False


# --- the comparison ---------------------------------------------------------------------------------------------------


def fits(endpoint, depth, of):
    if depth != "blind" and not endpoint.scheme:
        return False
    return of in {None, endpoint.scheme} or (of == "signature" and endpoint.scheme != "jwt")


def found(endpoint):
    """The rules that the endpoint breaks."""
    rows = [(rule, *row) for rule, rows in PROOFS.items() for row in rows]
    proofs = [(rule, attack) for rule, depth, of, attack in rows if fits(endpoint, depth, of)]
    # The proof that exceeds the limit of rejections comes last.
    proofs.sort(key=lambda row: row[0] == "rejection-rate-unlimited")
    return {rule for rule, attack in proofs if attack(endpoint)}


def check(gallery, declared):
    endpoint = Endpoint(gallery, declared)
    depth = gallery.depths(declared)[-1]
    must, may = gallery.expected(declared, depth)
    status = endpoint.send(*endpoint.genuine()).status_code if endpoint.scheme else 200
    wrong = [] if status < 300 else [f"rejects a genuine request with {status}"]
    broken = found(endpoint)
    if broken & {"bearer-presence-only", "signature-presence-only"}:
        broken.discard("rejection-rate-unlimited")  # the invalid request is not rejected
    if "unauthenticated-accepted" in broken:
        # Every other request is accepted too.
        broken &= must | {"unauthenticated-accepted"}
    wrong += [f"lacks {rule}" for rule in must - broken] + [f"also has {rule}" for rule in broken - may]
    print("FAIL" if wrong else "ok  ", declared["name"], *sorted(wrong), sep="  ", flush=True)
    return broken, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", help="the binary")
    parser.add_argument("endpoints", nargs="*")
    options = parser.parse_args()
    failed, shown = 0, collections.Counter()
    with Gallery(options.hookgate) as gallery:
        for declared in gallery.endpoints:
            if not options.endpoints or declared["name"] in options.endpoints:
                broken, wrong = check(gallery, declared)
                failed += bool(wrong)
                shown.update(broken)
        print(*(f"left out: {name}, since {need} is not installed" for name, need in gallery.missing.items()), sep="\n")
    expected = [rules for endpoint in DECLARED["endpoints"] for rules in endpoint.get("expected", {}).values()]
    declared = {rule for rules in expected for rule in rules}
    print(f"{len(shown)} rules shown, {failed} endpoints failed; not shown:", *sorted(declared - set(shown)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
