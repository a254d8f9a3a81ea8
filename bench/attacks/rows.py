"""The attacks, one a row of the table: those from a few addresses, and those from 64."""

import time
from dataclasses import dataclass
from typing import Callable

import clients as c
import distributed as d
from addresses import PLACES
from target import Site


@dataclass
class Attack:
    name: str
    unit: str
    run: Callable[[Site, int, float], c.Counts]
    processes: int = 2
    seconds: float = 10
    timeouts: str = ""
    limits: str = ""
    jwks: str = "good"
    timeout: str = "30s"
    place: Callable[[int], str] | None = None
    # Whether the log is read, slowly; elsewhere it is discarded.
    log: bool = False
    quick: bool = False


def no_attack(site, index, end):
    time.sleep(max(0, end - c.now()))
    return c.Counts()


BASELINE = Attack("no attack", "", no_attack, processes=1, quick=True)

FEW = [
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


def everywhere(name: str, unit: str, run, quick=(), **more) -> list[Attack]:
    """A row for each of `PLACES`."""
    return [
        Attack(f"{name}: {place}", unit, run, d.PROCESSES, place=where, quick=where in quick, **more)
        for place, where in PLACES.items()
    ]


def once(name: str, unit: str, run, **more) -> Attack:
    return Attack(name, unit, run, d.PROCESSES, place=PLACES["64 networks"], **more)


# So few that 64 addresses can have them all: a TLS handshake costs these attackers more than the gateway.
FEWER = "max_connections: 1000"
APART, OWN_24, OWN_56, OWN_48 = PLACES.values()

MANY = [
    *everywhere("stalled bodies of 1 MiB", "connections", d.stalled_bodies, quick=[OWN_24]),
    *everywhere("stalled bodies of 12 KB, HTTP/2", "streams", d.stalled_small_bodies),
    *everywhere("HTTP/2 headers of 30 KiB without a body", "streams", d.streams_without_bodies, quick=[APART, OWN_48]),
    *everywhere("HTTP/2 headers of 30 KiB without a body, renewed", "streams", d.renewed_streams, quick=[APART]),
    *everywhere("bodies at 70 KB/s", "connections", d.steady_bodies),
    *everywhere("trickled bodies", "connections", d.trickled_bodies, quick=[OWN_56]),
    *everywhere("trickled bodies, HTTP/2", "streams", d.trickled_streams),
    *everywhere("wrong signatures", "requests", d.wrong_signatures, quick=[APART]),
    once("wrong signatures, bodies of 1 MiB", "requests", d.large_wrong_signatures),
    *everywhere("silent connections", "connections", d.silent, quick=[OWN_24]),
    *everywhere("half of a TLS handshake", "connections", d.half_handshakes, quick=[OWN_48]),
    *everywhere("slow headers", "connections", d.slow_heads, limits=FEWER),
    *everywhere("idle connections after a rejected request", "connections", d.idle_connections, limits=FEWER),
    once("unsigned challenges on one route", "requests", d.challenges, quick=True),
    once("unsigned challenges on two routes", "requests", d.challenges_everywhere),
    once("silent connections to the admin listener", "connections", d.silent_admin, quick=True),
    once("paths of 8 KiB, and a slow reader of the log", "requests", d.long_paths, log=True, quick=True),
]
