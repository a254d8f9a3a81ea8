"""Assertions on responses, and the runner of a table of checks, for the end-to-end tests."""
import argparse
import hashlib
import json
import re
import signal
import sys
import traceback

PROBLEM = {"type", "title", "status", "reason", "instance"}


# --- assertions on a response -----------------------------------------------------------------------------------------


def passed(world, *tokens, body=b"{}", **options):
    """Asserts that the upstream got this request unchanged and responded. Returns the response and the request."""
    before = len(world.seen())
    response = world.post(*tokens, body=body, **options)
    assert response.status_code == 200 and response.json()["ok"], (response.status_code, response.text)
    assert response.headers["server"] == "uvicorn"
    [seen] = world.seen()[before:]
    sent = body if isinstance(body, bytes) else b"".join(body)
    assert seen["sha256"] == hashlib.sha256(sent).hexdigest() and response.json()["received"] == len(sent)
    assert fields(seen, "authorization") == [f"Bearer {token}" for token in tokens]
    return response, seen


def rejected(world, status, disclosed, *tokens, reason=None, outcome="rejected", **options):
    """Asserts that the gateway rejects the request, that the log has the reason (by default the disclosed one), and that
    the upstream got nothing."""
    before = len(world.seen())
    response = world.post(*tokens, **options)
    assert (response.status_code, response.json()["reason"]) == (status, disclosed), (response.status_code, response.text)
    assert response.headers["server"] == "hookgate" and response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) == PROBLEM and response.json()["status"] == status
    assert response.json()["instance"] == response.headers["x-request-id"]
    line = world.access_line(response.headers["x-request-id"])
    assert (line["reason"], line["outcome"]) == (reason or disclosed, outcome), line
    assert len(world.seen()) == before, "it reached the upstream"
    return response


def fields(seen, name):
    """Every value of a header, so that a second one is noticed."""
    return [value for found, value in seen["headers"] if found == name]


def no_secret_is_in_the_log(world, *others):
    """Asserts that neither a sent credential nor a secret part of it is in the log."""
    log = world.log()
    requests = [line for line in map(json.loads, log.splitlines()) if line.get("message") == "request"]
    assert len(requests) > 30 and len(world.tokens) > 30
    secrets = set(others)
    for token in world.tokens:
        secrets |= {token} | {part for part in re.split("[.,= ]", token) if len(part) > 10}
    assert not [secret for secret in secrets if secret in log]


# --- the table of checks ----------------------------------------------------------------------------------------------


def rows(check, table, of="rejected"):
    """A check for each row, under the row's name."""
    return {f"{of}: {name}": lambda world, row=row: check(world, *row) for name, row in table.items()}


def named(*checks):
    return {check.__name__.replace("_", " "): check for check in checks}


def run_checks(world, checks):
    """The number of checks that failed."""
    failed = 0
    for name, check in checks.items():
        try:
            check(world)
            print(f"ok    {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    if failed:
        print("the gateway's last lines:", *world.log().splitlines()[-20:], sep="\n")
    return failed


def main(description, world_of, checks):
    """The status to exit with."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True, help="the binary")
    # On SIGTERM, the started processes are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with world_of(parser.parse_args().hookgate) as world:
            failed = run_checks(world, checks)
    except Exception:
        failed = len(checks)
        print(f"FAIL  the start\n{traceback.format_exc()}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0
