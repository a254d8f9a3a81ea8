"""End to end: an unmodified FastAPI app under uvicorn, the gateway in front of it, PyJWT as the sender.

    python tests/e2e/run.py --hookgate target/debug/hookgate
"""
import base64
import functools
import hmac
import json
import shutil
import subprocess
import sys
import time

import jwt
from checks import fields, main, named, no_secret_is_in_the_log, passed, rejected, rows
from cryptography.hazmat.primitives import serialization
from harness import SECRET, Issuer, World, until

# --- tokens that must be rejected -------------------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def with_header(token, **header):
    """The same payload and signature under another header."""
    _, payload, signature = token.split(".")
    return f"{b64(json.dumps(header).encode())}.{payload}.{signature}"


def with_claims(token, **changes):
    header, payload, signature = token.split(".")
    claims = {**json.loads(base64.urlsafe_b64decode(payload + "==")), **changes}
    return f"{header}.{b64(json.dumps(claims).encode())}.{signature}"


def unsigned(token):
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none")


def confused(issuer, secret):
    """Signed with the public key as a shared secret (RFC 8725 §2.1)."""
    signed = with_header(issuer.token(), alg="HS256", kid=issuer.kid("RS256")).rsplit(".", 1)[0]
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def public_pem(issuer):
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return issuer.keys["RS256"].public_key().public_bytes(encoding, form)


def modulus(issuer):
    return base64.urlsafe_b64decode(issuer.jwk("RS256")["n"] + "==")


def with_own_key_in_header(issuer):
    """Signed with the attacker's own key, which the header contains (RFC 8725 §3.10)."""
    own = Issuer(issuer.generation)
    return own.token(headers={"jwk": own.jwk("RS256")})


# Name: the reason in the log, and the token. The response says `unauthorized` for all of them.
UNVERIFIED = {
    "garbage for a token": ("malformed_token", lambda issuer: "letmein"),
    "a claim changed after signing": ("invalid_signature", lambda issuer: with_claims(issuer.token(), sub="admin")),
    "signed with another key": ("invalid_signature", lambda issuer: Issuer().token()),
    "its own key in its header": ("invalid_signature", with_own_key_in_header),
    "alg none": ("malformed_token", lambda issuer: unsigned(issuer.token())),
    "alg none with a signature": ("unsupported_algorithm", lambda issuer: with_header(issuer.token(), alg="none")),
    "HS256 with the public key": ("unsupported_algorithm", lambda issuer: confused(issuer, public_pem(issuer))),
    "HS256 with the modulus": ("unsupported_algorithm", lambda issuer: confused(issuer, modulus(issuer))),
    "a key that is not published": ("unknown_key", lambda issuer: issuer.token(headers={"kid": "unpublished"})),
    "another key's kid": ("unsupported_algorithm", lambda issuer: issuer.token(headers={"kid": issuer.kid("ES256")})),
    "a crit extension": ("malformed_token", lambda issuer: issuer.token(headers={"crit": ["exp"], "exp": 1})),
}

# Name: status, reason and how the claims differ, as a function of now.
VERIFIED = {
    "with another issuer's iss": (401, "invalid_issuer", lambda now: {"iss": "https://evil.test/"}),
    "without iss": (401, "missing_claim", lambda now: {"iss": None}),
    "for another service": (401, "invalid_audience", lambda now: {"aud": "https://other.test/"}),
    "expired": (401, "token_expired", lambda now: {"iat": now - 200, "nbf": now - 200, "exp": now - 60}),
    "without exp": (401, "missing_claim", lambda now: {"exp": None}),
    "without nbf": (401, "missing_claim", lambda now: {"nbf": None}),
    "without aud": (401, "missing_claim", lambda now: {"aud": None}),
    "not yet valid": (401, "token_not_yet_valid", lambda now: {"nbf": now + 200}),
    "issued an hour ago": (401, "token_too_old", lambda now: {"iat": now - 3600, "nbf": now - 3600}),
    "issued in the future": (401, "token_issued_in_future", lambda now: {"iat": now + 200}),
    "without event_scope": (403, "claim_mismatch", lambda now: {"event_scope": None}),
    "with another event_scope": (403, "claim_mismatch", lambda now: {"event_scope": "billing"}),
}


def an_unverified_token_gets_no_reason(world, reason, token):
    response = rejected(world, 401, "unauthorized", token(world.issuer), reason=reason)
    assert 'error="invalid_token"' in response.headers["www-authenticate"], response.headers


def a_verified_token_gets_the_reason(world, status, reason, changes):
    response = rejected(world, status, reason, world.issuer.token(**changes(int(time.time()))))
    error = {401: "invalid_token", 403: "insufficient_scope"}[status]
    assert f'error="{error}"' in response.headers["www-authenticate"], response.headers


# --- checks -----------------------------------------------------------------------------------------------------------


def good_tokens_of_every_algorithm_pass(world):
    for algorithm in ["RS256", "ES256", "EdDSA"]:
        for http2 in [False, True]:
            response, _ = passed(world, world.issuer.token(algorithm), http2=http2, http1=not http2)
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")


def bodies_are_forwarded_unchanged(world):
    chunks = [b"in ", b"three ", b"chunks"]
    for body in [b"", b"x", bytes(range(256)) * 256, b'{"a":  1}\n\n', chunks]:
        _, seen = passed(world, world.issuer.token(), body=body, path="/webhook?order=5%2B5")
        assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/webhook", "order=5%2B5")


def a_shared_secret_from_the_environment_verifies(world):
    host = {"Host": "shared.test"}
    token = functools.partial(world.issuer.token, "HS256", iss="https://shared.test/")
    passed(world, token(key=SECRET), headers=host)
    rejected(world, 401, "unauthorized", token(key=SECRET[::-1]), reason="invalid_signature", headers=host)


def a_request_without_a_token_is_challenged_without_error(world):
    response = rejected(world, 401, "unauthorized", reason="missing_credential")
    assert response.headers["www-authenticate"] == 'Bearer realm="webhook"'


def an_unknown_issuer_gets_no_reason(world):
    """Where a route accepts several issuers, `iss` selects the keys, so the signature was not verified."""
    token = world.issuer.token(iss="https://evil.test/")
    rejected(world, 401, "unauthorized", token, reason="invalid_issuer", headers={"Host": "localhost"})


def two_tokens_are_rejected_though_one_is_good(world):
    good = world.issuer.token()
    for tokens in [(good, "x.y.z"), ("x.y.z", good), (good, good)]:
        rejected(world, 401, "unauthorized", *tokens, reason="multiple_credentials")


def a_good_token_over_plain_http_is_rejected(world):
    before = len(world.seen())
    response = world.post(world.issuer.token(), scheme="http")
    assert (response.status_code, response.json()["reason"]) == (400, "tls_required"), response.text
    assert response.headers["server"] == "hookgate" and len(world.seen()) == before


def spoofed_headers_do_not_reach_the_upstream(world):
    host = f"localhost:{world.port}"
    spoofed = {
        "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "Forwarded": "for=203.0.113.9",
        "X-Hookgate-Sub": "admin", "X_Hookgate_Sub": "admin", "X-Original-URL": "/admin", "X-Request-Id": "mine",
    }
    for http2 in [False, True]:
        headers = {**spoofed, "Host": host, "X-Mine": "kept"}
        response, seen = passed(world, world.issuer.token(), headers=headers, http2=http2, http1=not http2)
        found = functools.partial(fields, seen)
        assert found("host") == [host] and found("x-mine") == ["kept"]
        assert found("x-forwarded-for") == ["127.0.0.1"] and found("x-forwarded-proto") == ["https"]
        assert found("forwarded") == [f'for=127.0.0.1;host="{host}";proto=https']
        assert found("x-request-id") == [response.headers["x-request-id"]] != ["mine"]
        assert not found("x-hookgate-sub") + found("x_hookgate_sub") + found("x-original-url"), seen


def a_timestamp_next_to_the_token_is_verified(world):
    now, token = int(time.time()), world.issuer.token

    def headers(**timestamp):
        return {"Host": "timed.test", **{"X-Webhook-Timestamp": str(value) for value in timestamp.values()}}

    passed(world, token(), headers=headers(at=now))
    rejected(world, 401, "missing_timestamp", token(), headers=headers())
    rejected(world, 401, "timestamp_too_old", token(), headers=headers(at=now - 400))
    rejected(world, 401, "timestamp_in_future", token(), headers=headers(at=now + 100))


def sign_makes_tokens_that_pass(world):
    for route, host in {"signed": "localhost", "shared": "shared.test"}.items():
        token = world.run("sign", "--config", "gateway.yaml", "--route", route, "--token").stdout.strip()
        passed(world, token, headers={"Host": host})


def sign_prints_a_curl_line_that_passes(world):
    before = len(world.seen())
    line = world.run("sign", "--config", "gateway.yaml", "--route", "signed").stdout.strip()
    done = world.shell(line + " --silent --show-error", shell=True)
    assert done.returncode == 0 and " 200" in done.stdout.splitlines()[0], (line, done)
    assert '"ok":true' in done.stdout
    [seen] = world.seen()[before:]
    world.tokens.extend(value.removeprefix("Bearer ") for value in fields(seen, "authorization"))


def keys_are_rotated_while_it_runs(world):
    old, world.issuer = world.issuer, Issuer("2")
    world.write("jwks.json", world.issuer.jwks())
    until("the new key passes", lambda: world.post(world.issuer.token()).status_code == 200)
    rejected(world, 401, "unauthorized", old.token(), reason="unknown_key")


def certificates_are_rotated_while_it_runs(world):
    old = (world.folder / "certs/ca.crt").read_text()
    world.run("dev-certs", "--dir", "certs", "--force")
    assert (world.folder / "certs/ca.crt").read_text() != old
    # The client trusts the new CA alone.
    until("the new certificate is served", lambda: world.post(world.issuer.token()).status_code == 200)


def an_invalid_file_keeps_the_old_configuration(world):
    text = (world.folder / "gateway.yaml").read_text()
    successful = "hookgate_config_last_reload_successful"
    assert world.metric(successful) == 1
    world.write("gateway.yaml", text.replace("max_age: 5m", "max_age: soon"))
    until("the reload is rejected", lambda: world.metric(successful) == 0)
    passed(world, world.issuer.token())
    world.write("gateway.yaml", text)
    until("the configuration is active again", lambda: world.metric(successful) == 1)


def check_reports_every_problem_with_its_position(world):
    world.run("check", "--config", "gateway.yaml")
    text = (world.folder / "gateway.yaml").read_text()
    world.write("broken.yaml", text.replace("listeners:", "listener:").replace("replay_protection: disabled", "replay_protection: disable"))
    problems = world.run("check", "--config", "broken.yaml", status=64).stderr.splitlines()
    lines = text.splitlines()
    places = [f"broken.yaml:{lines.index('listeners:') + 1}:1: listener: unknown field"]
    places += [f"broken.yaml:{i + 1}:" for i, line in enumerate(lines) if line.strip() == "replay_protection: disabled"]
    missing = [place for place in places if not any(problem.startswith(place) for problem in problems)]
    assert not missing, (missing, problems)


def metrics_pass_promtool(world):
    page = world.admin("/metrics").text
    assert world.metric('hookgate_requests_total{outcome="forwarded",reason="",route="default",status="200"}') > 5
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", ""), checked


def sigterm_drains_and_exits_with_zero(world):
    assert world.terminate() == 0


def no_token_is_in_the_log(world):
    no_secret_is_in_the_log(world, SECRET, "order=5")


CHECKS = {
    **named(good_tokens_of_every_algorithm_pass, bodies_are_forwarded_unchanged),
    **named(a_shared_secret_from_the_environment_verifies),
    **named(a_request_without_a_token_is_challenged_without_error, two_tokens_are_rejected_though_one_is_good),
    **rows(an_unverified_token_gets_no_reason, UNVERIFIED),
    **rows(a_verified_token_gets_the_reason, VERIFIED),
    **named(an_unknown_issuer_gets_no_reason),
    **named(a_good_token_over_plain_http_is_rejected, spoofed_headers_do_not_reach_the_upstream),
    **named(a_timestamp_next_to_the_token_is_verified),
    **named(sign_makes_tokens_that_pass, sign_prints_a_curl_line_that_passes),
    **named(keys_are_rotated_while_it_runs, certificates_are_rotated_while_it_runs),
    **named(an_invalid_file_keeps_the_old_configuration, check_reports_every_problem_with_its_position),
    # These come last: one stops the gateway, the next one reads its whole log.
    **named(metrics_pass_promtool, sigterm_drains_and_exits_with_zero, no_token_is_in_the_log),
}


if __name__ == "__main__":
    sys.exit(main(__doc__, World, CHECKS))
