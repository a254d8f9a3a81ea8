"""What the end-to-end tests say of a reply, and how a table of checks is run."""
import argparse
import hashlib
import json
import re
import signal
import sys
import traceback

PROBLEM = {"type", "title", "status", "reason", "instance"}


# --- what is said of a reply ------------------------------------------------------------------------------------------


def passed(world, *tokens, body=b"{}", **options):
    """The app has answered, and it has seen this request whole, its bearer too. Gives reply and what was seen."""
    before = len(world.seen())
    reply = world.post(*tokens, body=body, **options)
    assert reply.status_code == 200 and reply.json()["ok"], (reply.status_code, reply.text)
    assert reply.headers["server"] == "uvicorn"
    [seen] = world.seen()[before:]
    sent = body if isinstance(body, bytes) else b"".join(body)
    assert seen["sha256"] == hashlib.sha256(sent).hexdigest() and reply.json()["received"] == len(sent)
    assert fields(seen, "authorization") == [f"Bearer {token}" for token in tokens]
    return reply, seen


def refused(world, status, told, *tokens, reason=None, outcome="rejected", **options):
    """The gateway has answered so, the log has the reason (the one in the response, unless named), and the app has seen nothing."""
    before = len(world.seen())
    reply = world.post(*tokens, **options)
    assert (reply.status_code, reply.json()["reason"]) == (status, told), (reply.status_code, reply.text)
    assert reply.headers["server"] == "hookgate" and reply.headers["content-type"] == "application/problem+json"
    assert set(reply.json()) == PROBLEM and reply.json()["status"] == status
    assert reply.json()["instance"] == reply.headers["x-request-id"]
    line = world.access_line(reply.headers["x-request-id"])
    assert (line["reason"], line["outcome"]) == (reason or told, outcome), line
    assert len(world.seen()) == before, "it reached the app"
    return reply


def fields(seen, name):
    """Every value of a header field: a second one must not hide behind the first."""
    return [value for found, value in seen["headers"] if found == name]


def no_secret_is_in_the_log(world, *others):
    """Neither what was sent as a credential, nor a part of it that proves anything."""
    log = world.log()
    requests = [line for line in map(json.loads, log.splitlines()) if line.get("message") == "request"]
    assert len(requests) > 30 and len(world.tokens) > 30
    secrets = set(others)
    for token in world.tokens:
        secrets |= {token} | {part for part in re.split("[.,= ]", token) if len(part) > 10}
    assert not [secret for secret in secrets if secret in log]


# --- the table of checks ----------------------------------------------------------------------------------------------


def rows(check, table, of="refused"):
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
    # So that what was started is ended when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with world_of(parser.parse_args().hookgate) as world:
            failed = run_checks(world, checks)
    except Exception:
        failed = len(checks)
        print(f"FAIL  the start\n{traceback.format_exc()}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0
