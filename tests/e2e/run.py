"""End to end: an untouched FastAPI app under uvicorn, the gateway before it, PyJWT as the sender.

    python tests/e2e/run.py --hookgate target/debug/hookgate
"""
import argparse
import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import time
import traceback

import jwt
from cryptography.hazmat.primitives import serialization
from harness import AUDIENCE, SECRET, World, until


def b64(text):
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def refused(world, status, code, token=None, **options):
    """The reply is the gateway's, tells this code, and the app has seen nothing."""
    before = len(world.seen())
    answer = world.post(token, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code), (answer.status_code, answer.text)
    assert answer.headers["server"] == "hookgate" and answer.headers["content-type"] == "application/problem+json"
    assert len(world.seen()) == before, "it reached the app"
    return answer


def good_tokens_of_every_algorithm_pass(world):
    for algorithm in ["RS256", "ES256", "EdDSA"]:
        for http2 in [False, True]:
            answer = world.post(world.issuer.token(algorithm), http2=http2, http1=not http2)
            assert answer.status_code == 200 and answer.json()["ok"], answer.text
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert answer.headers["server"] == "uvicorn"


def bodies_arrive_as_they_were_sent(world):
    for body in [b"", b"x", bytes(range(256)) * 256, b'{"a":  1}\n\n']:
        token = world.issuer.token()
        assert world.post(token, body).status_code == 200
        seen = world.seen()[-1]
        assert seen["sha256"] == hashlib.sha256(body).hexdigest()
        assert dict(seen["headers"])["authorization"] == f"Bearer {token}"


def a_shared_secret_from_the_environment_verifies(world):
    token = world.issuer.token("HS256", key=SECRET, iss="https://shared.test/")
    assert world.post(token).status_code == 200
    refused(world, 401, "unauthorized", world.issuer.token("HS256", key=SECRET[::-1], iss="https://shared.test/"))


def without_a_verified_signature_no_reason_is_told(world):
    issuer, good = world.issuer, world.issuer.token()
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    public = issuer.keys["RS256"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    confused = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'RS2561'}))}.{payload}"
    mac = base64.urlsafe_b64encode(hmac.digest(public, confused.encode(), "sha256")).rstrip(b"=").decode()
    forged = {
        "garbage": "letmein",
        "another payload": f"{header}.{b64(json.dumps({**claims, 'sub': 'admin'}))}.{signature}",
        "alg none": jwt.encode(claims, None, algorithm="none"),
        "alg none with a signature": f"{b64(json.dumps({'alg': 'none'}))}.{payload}.{signature}",
        "RS256 to HS256": f"{confused}.{mac}",
        "unknown kid": issuer.token(headers={"kid": "nobody"}),
        "another key's kid": issuer.token("RS256", headers={"kid": "ES2561"}),
        "crit": issuer.token(headers={"crit": ["exp"]}),
        "another issuer": issuer.token(iss="https://evil.test/"),
    }
    for name, token in forged.items():
        answer = refused(world, 401, "unauthorized", token)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], name


def with_a_genuine_signature_the_reason_is_told(world):
    now, token = int(time.time()), world.issuer.token
    refused(world, 401, "wrong_audience", token(aud="https://other.test/"))
    refused(world, 401, "expired", token(exp=now - 60))
    refused(world, 401, "missing_claim", token(exp=None))
    refused(world, 401, "missing_claim", token(nbf=None))
    refused(world, 401, "not_yet_valid", token(nbf=now + 100))
    refused(world, 401, "stale_timestamp", token(iat=now - 3600))
    refused(world, 401, "future_timestamp", token(iat=now + 100))
    answer = refused(world, 403, "claim_refused", token(event_scope=None))
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def a_request_without_a_token_is_challenged_without_error(world):
    answer = refused(world, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="webhook"'
    assert set(answer.json()) == {"type", "title", "status", "code", "instance"}
    assert answer.json()["instance"] == answer.headers["x-request-id"]


def spoofed_headers_do_not_reach_the_app(world):
    spoofed = {
        "X-Forwarded-For": "203.0.113.9", "X-Hookgate-Sub": "admin", "X_Hookgate_Sub": "admin", "Forwarded": "for=evil",
        "X-Original-URL": "/admin", "X-Request-Id": "mine", "Host": f"localhost:{world.port}",
    }
    answer = world.post(world.issuer.token(), headers=spoofed)
    headers = dict(world.seen()[-1]["headers"])
    assert headers["x-forwarded-for"] == "127.0.0.1" and headers["x-forwarded-proto"] == "https"
    assert headers["host"] == f"localhost:{world.port}" and "evil" not in headers["forwarded"]
    assert headers["x-request-id"] == answer.headers["x-request-id"] != "mine"
    assert not {"x-hookgate-sub", "x_hookgate_sub", "x-original-url"} & set(headers), headers


def a_timestamp_beside_the_token_is_judged(world):
    now = int(time.time())

    def headers(value):
        return {"Host": "timed.test", **({"X-Webhook-Timestamp": str(value)} if value else {})}

    refused(world, 401, "missing_timestamp", world.issuer.token(), headers=headers(None))
    refused(world, 401, "stale_timestamp", world.issuer.token(), headers=headers(now - 400))
    refused(world, 401, "future_timestamp", world.issuer.token(), headers=headers(now + 100))
    assert world.post(world.issuer.token(), headers=headers(now)).status_code == 200


def sign_makes_what_passes(world):
    arguments = ["--config", "gateway.yaml", "--route", "default", "--claim", "iss=https://dev.test/"]
    token = world.run("sign", *arguments, "--token").stdout.strip()
    assert world.post(token).status_code == 200
    line = world.run("sign", *arguments, "--url", f"https://localhost:{world.port}/webhook").stdout.strip()
    shell = subprocess.run(line + " -s -S", shell=True, cwd=world.folder, capture_output=True, text=True)
    assert " 200" in shell.stdout.splitlines()[0] and '"ok":true' in shell.stdout, (line, shell)


def keys_are_rotated_while_it_runs(world):
    old = world.issuer.token()
    fresh = type(world.issuer)()
    world.write("jwks.json", fresh.jwks("2"))
    until("the new key passes", lambda: world.post(fresh.token(generation="2")).status_code == 200)
    refused(world, 401, "unauthorized", old)
    world.issuer.keys, world.issuer.token = fresh.keys, lambda *a, **k: fresh.token(*a, **{"generation": "2", **k})


def certificates_are_rotated_while_it_runs(world):
    old = (world.folder / "certs/ca.crt").read_text()
    world.run("certs", "--dir", "certs", "--force")
    assert (world.folder / "certs/ca.crt").read_text() != old
    until("the new certificate is served", lambda: world.post(world.issuer.token()).status_code == 200)


def an_invalid_file_keeps_the_old_configuration(world):
    text = (world.folder / "gateway.yaml").read_text()
    world.write("gateway.yaml", text.replace("replay: off", "replay: of").replace("listeners", "listener"))
    successful = "hookgate_config_last_reload_successful"
    until("the reload is refused", lambda: world.metric(successful) == 0)
    assert world.post(world.issuer.token()).status_code == 200
    checked = world.run("check", "--config", "gateway.yaml", check=False)
    assert checked.returncode == 64 and "gateway.yaml:3:1: listener: unknown field" in checked.stderr, checked
    assert checked.stderr.count("replay: expected `off`") == 2, checked.stderr
    world.write("gateway.yaml", text)
    until("the configuration is in force again", lambda: world.metric(successful) == 1)


def metrics_pass_promtool(world):
    if shutil.which("promtool"):
        page = world.admin("/metrics").text
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", ""), checked
    assert world.metric('hookgate_requests_total{code="",outcome="forwarded",route="default"}') > 5


def sigterm_drains_and_exits_with_zero(world):
    assert world.terminate() == 0


def no_token_is_in_the_log(world):
    log = world.log()
    lines = [json.loads(line) for line in log.splitlines()]
    requests = [line for line in lines if line.get("message") == "request"]
    assert len(requests) > 30 < len(world.tokens)
    secrets = [part for token in world.tokens for part in token.split(".")[1:] if len(part) > 10]
    assert not [part for part in secrets if part in log] and SECRET not in log
    assert "expired" in {line["code"] for line in requests} and "bad_signature" in {line["code"] for line in requests}


CHECKS = [
    good_tokens_of_every_algorithm_pass,
    bodies_arrive_as_they_were_sent,
    a_shared_secret_from_the_environment_verifies,
    without_a_verified_signature_no_reason_is_told,
    with_a_genuine_signature_the_reason_is_told,
    a_request_without_a_token_is_challenged_without_error,
    spoofed_headers_do_not_reach_the_app,
    a_timestamp_beside_the_token_is_judged,
    sign_makes_what_passes,
    keys_are_rotated_while_it_runs,
    certificates_are_rotated_while_it_runs,
    an_invalid_file_keeps_the_old_configuration,
    metrics_pass_promtool,
    sigterm_drains_and_exits_with_zero,
    no_token_is_in_the_log,
]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--hookgate", required=True)
    failed = 0
    with World(arguments.parse_args().hookgate) as world:
        for check in CHECKS:
            try:
                check(world)
                print(f"ok    {check.__name__.replace('_', ' ')}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {check.__name__.replace('_', ' ')}\n{traceback.format_exc()}", flush=True)
        if failed:
            print("\n".join(world.log().splitlines()[-20:]))
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
