#!/usr/bin/env python3
"""The cost of many hostile clients for the gateway, and their effect on a legitimate client. See README.md.

Each attack runs against a fresh gateway, with the default limits except where a row of ATTACKS sets others, while a
legitimate client at another address sends a hundred requests a second. The attackers run at a lower priority: real ones
would run on other machines.
"""

import argparse
import os
import pathlib
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

import clients as c
from target import FORK, GOOD_CONNECTIONS, Good, KeyServer, Site, configuration, prepare
from world import Gateway, free_port, nginx

WARM_UP = 1.5


@dataclass
class Attack:
    name: str
    unit: str
    run: Callable[[Site, int, float], c.Counts]
    processes: int = 2
    seconds: float = 10
    timeouts: str = ""
    jwks: str = "good"
    timeout: str = "30s"


# --- the table --------------------------------------------------------------------------------------------------------

ATTACKS = [
    Attack("no attack", "", lambda site, index, end: time.sleep(end - c.now()) or c.Counts(), processes=1),
    Attack("slow request headers, a byte a second", "connections", c.slow_heads, seconds=14),
    Attack("slow HTTP/2 headers, one header a second", "connections", c.slow_heads_http2, seconds=14),
    Attack("slow bodies, a byte a second", "connections", c.slow_bodies, seconds=14, timeouts="request_body: 8s"),
    Attack("large bodies that stall, one address", "connections", c.large_bodies, processes=1),
    Attack("large bodies that stall, eight addresses", "connections", c.large_bodies, processes=8),
    Attack("unread responses of 16 MiB", "connections", c.unread_responses, seconds=14, timeouts="response_write_idle: 8s"),
    Attack("unread responses of 256 KiB, HTTP/2 streams with a window of 0", "connections of 100 streams", c.unread_responses_http2,
           seconds=14, timeouts="response_write_idle: 5s", timeout="5s"),
    Attack("stalled bodies on HTTP/2 streams", "connections of 100 streams", c.stalled_streams, seconds=14, timeouts="request_body: 8s"),
    Attack("rejected HTTP/2 streams whose bodies never arrive", "connections of 100 streams", c.refused_streams),
    Attack("stalled HTTP/2 streams with headers of 30 KiB", "connections of 100 streams", c.stalled_streams_with_large_heads,
           seconds=14, timeouts="request_body: 8s"),
    Attack("silent connections, one address", "connections", lambda *a: c.silent_connections(*a, c.address(0)), seconds=8),
    Attack("silent connections, sixteen addresses", "connections", lambda s, i, e: c.silent_connections(s, i, e, c.address(i)),
           processes=16, seconds=9),
    Attack("incomplete TLS handshakes", "connections", c.half_handshakes, seconds=14),
    Attack("abandoned TLS handshakes", "handshakes", c.abandoned_handshakes, processes=4),
    Attack("rapid reset", "streams", c.rapid_reset),
    Attack("made-you-reset", "streams", c.made_you_reset),
    Attack("endless CONTINUATION", "frames", c.continuations, processes=4),
    Attack("SETTINGS", "frames", c.settings),
    Attack("PING", "frames", c.pings),
    Attack("empty DATA", "frames", c.empty_data),
    Attack("PRIORITY", "frames", c.priorities),
    Attack("frames of an unknown type", "frames", c.unknown_frames),
    Attack("WINDOW_UPDATE, and beyond 2³¹−1", "frames", c.window_updates),
    Attack("HPACK bomb", "header blocks", c.hpack_bomb),
    Attack("forged signatures", "requests", c.forged_signatures),
    Attack("unknown kid, keys from a file", "requests", c.wrong_kids),
    Attack("random bytes as tokens", "requests", c.garbage),
    Attack("deep JSON in tokens", "requests", c.deep_tokens),
    Attack("tokens of 8 KiB", "requests", c.largest_tokens),
    Attack("unknown kid, keys from a URL", "requests", c.unknown_kids),
    Attack("endless key set", "requests", c.unknown_kids, jwks="endless"),
    Attack("key set of 2000 keys", "requests", c.unknown_kids, jwks="thousands"),
    Attack("key set 400,000 deep", "requests", c.unknown_kids, jwks="deep"),
    Attack("key set a byte at a time", "requests", c.unknown_kids, jwks="drip"),
    Attack("JSON bodies, deep or of 100,000 members", "requests", c.json_bodies),
    Attack("huge headers, targets and tokens, many headers", "requests", c.huge_heads),
    Attack("unknown paths, pipelined", "requests", c.unknown_paths),
    Attack("pipelined requests, unread responses", "connections", c.unread_pipelines, seconds=20, timeouts="response_write_idle: 8s"),
]


def attacker(attack: Attack, site: Site, index: int, end: float, results) -> None:
    os.nice(10)
    results.send(attack.run(site, index, end))


def carry_out(attack: Attack, site: Site, gateway: Gateway) -> c.Counts:
    """Runs the attack: counts of its results, and the number of connections that are open half a second before its end."""
    end, pipes = c.now() + attack.seconds, []
    for index in range(attack.processes):
        ours, theirs = FORK.Pipe(duplex=False)
        FORK.Process(target=attacker, args=(attack, site, index, end, theirs), daemon=True).start()
        pipes.append(ours)
    time.sleep(max(0, end - 0.5 - c.now()))
    open_ = gateway.metrics()[f'hookgate_open_connections{{listener="127.0.0.1:{site.port}"}}'] - GOOD_CONNECTIONS
    return sum((ours.recv() for ours in pipes), c.Counts({"open at the end": max(0, int(open_))}))


def measure(attack: Attack, hookgate: str, folder: pathlib.Path, app: int, issuer, tokens: list[str]) -> str:
    site, admin, keys = Site(free_port(), issuer, tokens), free_port(), KeyServer(issuer)
    text = configuration(site.port, admin, app, keys.port, attack.timeouts, attack.jwks, attack.timeout)
    with Gateway(hookgate, folder, text, admin) as gateway:
        good = Good(site)
        time.sleep(WARM_UP)
        gateway.forget_peak()
        before, cpu, fetched, begun = gateway.memory("VmRSS"), gateway.cpu_seconds(), keys.fetches.value, c.now()
        counts = carry_out(attack, site, gateway)
        ended = c.now()
        cpu, peak = gateway.cpu_seconds() - cpu, gateway.memory("VmHWM") - before
        sent, answered, median, slow = good.finish(begun, ended)
        alive = gateway.process.poll() is None
    tried = counts.pop("tried", 0)
    open_ = counts.pop("open at the end", 0)
    became = ", ".join(f"{number:,} {what}" for what, number in counts.most_common() if number) + f"; {open_:,} open at the end"
    if attack.run is c.unknown_kids:
        became += f"; {keys.fetches.value - fetched} fetches, {keys.bytes.value >> 10:,} KiB"
    keys.process.kill()
    served = "all" if sent == answered else f"{answered} of {sent}"
    row = [attack.name, f"{tried:,} {attack.unit}", became, f"{cpu / (ended - begun):.0%}", f"{peak:.0f} MiB",
           f"{median:.1f} / {slow:.1f} ms", served if alive else "GATEWAY DIED"]
    return "| " + " | ".join(row) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only attacks with one of these words in their names")
    parser.add_argument("--hookgate", default="target/release/hookgate")
    args = parser.parse_args()
    chosen = [attack for attack in ATTACKS if not args.names or any(name.lower() in attack.name.lower() for name in args.names)]
    print("| attack | attempts | result | CPU of the gateway | peak memory added | legitimate client p50 / p99 | served |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        issuer = prepare(folder)
        tokens = [issuer.token(number) for number in range(2000)]
        with nginx(folder) as app:
            for attack in chosen:
                print(measure(attack, args.hookgate, folder, app, issuer, tokens), flush=True)


if __name__ == "__main__":
    main()
