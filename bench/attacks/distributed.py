"""Hostile clients at 64 addresses: a process has some of them, in the networks that `site.place` chooses."""

import base64
import itertools
import re
import secrets
import select
import time
from typing import Callable, Iterator

import wire as w
from addresses import ATTACKERS, bound, loopback
from clients import OPEN, Counts, client_hello, hold, http1, now, opened
from wire import Http2, Wire, frame, text

PROCESSES, RECONNECTS = 4, 500
# Bytes of a body in each second: a little more than `min_request_body_rate`, and than the rate below which it is late.
TRICKLE, STEADY, TICK = 300, 70_000, 0.25
# A request gets a second to arrive; this is a little less.
RENEWAL = 0.9


def sources(site, index: int) -> list[str]:
    return [site.place(number) for number in range(index, ATTACKERS, PROCESSES)]


def wrong_signature() -> list[tuple[str, str]]:
    """Headers that are well-formed, so that the gateway has to read the body."""
    signature = base64.b64encode(secrets.token_bytes(32)).decode()
    return [("webhook-id", "msg_no"), ("webhook-timestamp", str(int(time.time()))), ("webhook-signature", f"v1,{signature}")]


def hook(length: int) -> bytes:
    return http1("/hooks", *(f"{name}: {value}" for name, value in wrong_signature()), body=length)


# --- HTTP/1.1 bodies that do not end ----------------------------------------------------------------------------------


def holders(site, index: int, end: float, firsts: list[bytes], drip=b"") -> Counts:
    """Keeps a connection open for each of `firsts` and each address."""
    at = itertools.cycle(itertools.product(firsts, sources(site, index)))
    def connect() -> Wire:
        first, source = next(at)
        return opened(Wire(site.port, source), first, end)
    return hold(connect, drip, len(firsts) * ATTACKERS // PROCESSES, end, pause=TICK)


def unfinished() -> list[bytes]:
    """The beginnings of bodies of 1 MiB: large ones for most of the memory for bodies, smaller ones for the rest of it."""
    return [hook(1 << 20) + b"x" * sent for sent in (943_000, 943_000, 100_000, 10_000, 100)]


def stalled_bodies(site, index, end):
    return holders(site, index, end, unfinished())


def trickled_bodies(site, index, end):
    return holders(site, index, end, unfinished(), b"x" * int(TRICKLE * TICK))


def steady_bodies(site, index, end):
    return holders(site, index, end, [hook(1 << 20)] * 3, b"x" * int(STEADY * TICK))


def slow_heads(site, index, end):
    return holders(site, index, end, [b"POST /hooks HTTP/1.1\r\nHost: localhost\r\nX-Slow: "] * 16, b"a")


def idle_connections(site, index, end):
    """Each has sent one request, which was rejected."""
    return holders(site, index, end, [http1("/nowhere", method="GET")] * 16)


# --- HTTP/2 streams that do not end -----------------------------------------------------------------------------------


class Streams:
    """An HTTP/2 connection with a hundred open requests; one that gets a response or is reset is replaced at once."""

    def __init__(self, site, source: str, requests: Iterator[tuple[bytes, bytes]], counts: Counts):
        self.http2 = Http2(site.port, source)
        self.requests, self.counts = requests, counts
        # The open requests, by their streams, and when they began.
        self.open: dict[int, float] = {}
        self.ids, self.room, self.unsent = iter(range(1, 1 << 30, 2)), 65535, b""

    def turn(self, drip: bytes, lasting: float) -> None:
        """Reads what arrived, replaces requests that ended or are older than `lasting`, and sends `drip` on each open one."""
        out, ended = bytearray(self.unsent), {stream for stream, begun in self.open.items() if now() > begun + lasting}
        for one in self.http2.frames():
            if one.kind == w.HEADERS:
                self.counts[self.http2.status(one)] += 1
                ended.add(one.stream)
            elif one.kind == w.RST_STREAM and one.stream in self.open and one.stream not in ended:
                self.counts[f"RST_STREAM {w.code(one)}"] += 1
                ended.add(one.stream)
            elif one.kind == w.WINDOW_UPDATE and not one.stream:
                self.room += int.from_bytes(one.payload, "big")
        for stream in ended & self.open.keys():
            del self.open[stream]
            out += frame(w.RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
        while len(self.open) < 100 and self.room >= 16_384 and len(out) < 1 << 20:
            stream, (head, body) = next(self.ids), next(self.requests)
            out += frame(w.HEADERS, 4, stream, head) + (frame(w.DATA, 0, stream, body) if body else b"")
            self.room -= len(body)
            self.open[stream] = now()
            self.counts["tried"] += 1
        if drip and self.room >= len(drip) * len(self.open):
            self.room -= len(drip) * len(self.open)
            out += b"".join(frame(w.DATA, 0, stream, drip) for stream in self.open)
        self.unsent = bytes(out[self.http2.write(bytes(out)) if out else 0:])


def streams(site, index: int, end: float, requests: Callable[[], Iterator], drip=b"", pause=0.02, lasting=1000.0) -> Counts:
    counts, open_ = Counts(), {source: None for source in sources(site, index)}
    while now() < end:
        look = now() + pause
        for source, one in open_.items():
            try:
                if one is None or one.http2.ended:
                    counts["connections ended"] += one is not None
                    open_[source] = one = None
                    open_[source] = one = Streams(site, source, requests(), counts)
                one.turn(drip, lasting)
            except OSError:
                counts["not connected"] += 1
            if now() > end:
                break
        time.sleep(max(0, min(look, end) - now()))
    counts["held"] += sum(len(one.open) for one in open_.values() if one and not one.http2.ended)
    OPEN.extend(open_.values())
    return counts


def indexed(*pairs: tuple[str, str]) -> bytes:
    """Fields that enter the dynamic table (RFC 7541 §6.2.1)."""
    return b"".join(b"\x40" + text(name) + text(value) for name, value in pairs)


def large_heads() -> Iterator[tuple[bytes, bytes]]:
    """Headers of 30 KiB, without bodies; after the first, 15 bytes each that refer to the dynamic table of 4,096. Every
    tenth request has small headers, for the rest of the memory that is left."""
    names = [(":path", "/hooks"), (":authority", "localhost"), *wrong_signature(), ("x", "a" * 3766)]
    pseudo, large = b"\x83\x87", b"\xbe" * 7
    small = pseudo + bytes(0x80 | 62 + at for at in range(len(names) - 1, 0, -1))
    yield pseudo + indexed(*names) + large, b""
    yield from itertools.cycle([(small + b"\xbe" + large, b"")] * 9 + [(small, b"")])


def streams_without_bodies(site, index, end):
    """A request of 24 bytes on the wire that the gateway has to hold with headers of 30 KiB."""
    return streams(site, index, end, large_heads)


def renewed_streams(site, index, end):
    return streams(site, index, end, large_heads, lasting=RENEWAL)


def trickled_streams(site, index, end):
    return streams(site, index, end, large_heads, drip=b"x" * int(TRICKLE * TICK), pause=TICK)


def stalled_small_bodies(site, index, end):
    head = w.request("/hooks", "POST", *wrong_signature())
    bodies = [(head, b"x" * 12_000)] * 9 + [(head, b"x" * 500)]
    return streams(site, index, end, lambda: itertools.cycle(bodies))


# --- connections that send nothing, or half of a handshake ------------------------------------------------------------


def fill(site, index: int, end: float, port: int, each: int, first=b"") -> Counts:
    """Keeps `each` connections of every address open; the process replaces up to RECONNECTS closed ones a second."""
    counts, open_, missing = Counts(), {}, sources(site, index) * each
    poll, allowed, at = select.epoll(), len(missing), now()
    while now() < end:
        allowed, at = min(len(open_) + len(missing), allowed + (now() - at) * RECONNECTS), now()
        while missing and allowed >= 1 and now() < end:
            allowed -= 1
            source = missing.pop()
            plain = bound(source)
            plain.settimeout(1)
            try:
                plain.connect((loopback(source), port))
                plain.setblocking(False)
                plain.send(first)
            except OSError:
                counts["not connected"] += 1
                missing.insert(0, source)
                plain.close()
                break
            counts["tried"] += 1
            open_[plain.fileno()] = plain, source
            poll.register(plain, select.EPOLLIN)
            if counts["tried"] % 50 == 0:
                replace(poll, open_, missing, counts, 0)
        replace(poll, open_, missing, counts, min(0.05, max(0, end - now())))
    counts["held"] += len(open_)
    OPEN.extend(open_.values())
    return counts


def replace(poll, open_: dict, missing: list, counts: Counts, seconds: float) -> None:
    """Notes the connections that the gateway has closed as missing."""
    for number, _ in poll.poll(seconds):
        plain, source = open_[number]
        try:
            if plain.recv(65536):
                continue
            counts["closed"] += 1
        except BlockingIOError:
            continue
        except OSError:
            counts["reset"] += 1
        poll.unregister(plain)
        plain.close()
        del open_[number]
        missing.append(source)


def silent(site, index, end):
    return fill(site, index, end, site.port, 160)


def half_handshakes(site, index, end):
    return fill(site, index, end, site.port, 160, client_hello())


def silent_admin(site, index, end):
    return fill(site, index, end, site.admin, 4)


# --- complete requests ------------------------------------------------------------------------------------------------


def pump(site, index: int, end: float, blob: bytes, requests: int, pause=0.0) -> Counts:
    """Sends `blob` again and again from every address, in each `pause` once, or as fast as the gateway reads."""
    counts, open_ = Counts(), dict.fromkeys(sources(site, index))
    while now() < end:
        look, sent = now() + pause, 0
        for source, held in open_.items():
            try:
                if held is None or held[0].ended:
                    open_[source] = held = [Wire(site.port, source), memoryview(b"")]
            except OSError:
                counts["not connected"] += 1
                continue
            sent += push(held, blob, requests, counts)
        if pause or not sent:
            time.sleep(max(0, min(look if pause else now() + 0.002, end) - now()))
    OPEN.extend(open_.values())
    return counts


def push(held: list, blob: bytes, requests: int, counts: Counts) -> int:
    wire, rest = held
    wire.read()
    counts.update(status.decode() for status in re.findall(rb"HTTP/1\.1 (\d+)", wire.received))
    wire.received.clear()
    if not rest:
        rest = memoryview(blob)
        counts["tried"] += requests
    sent = wire.write(rest[:65536])
    held[1] = rest[sent:]
    if wire.ended:
        counts["connections ended"] += 1
    return sent


def wrong_signatures(site, index, end):
    bodies = [hook(size) + b"x" * size for size in (1 << 10, 4 << 10, 16 << 10, 64 << 10)]
    return pump(site, index, end, b"".join(bodies), len(bodies))


def large_wrong_signatures(site, index, end):
    return pump(site, index, end, hook(1 << 20) + b"x" * (1 << 20), 1)


def challenges(site, index, end):
    """Five unsigned challenges a second from each address."""
    return pump(site, index, end, http1("/dropbox?challenge=a", method="GET"), 1, pause=0.2)


def challenges_everywhere(site, index, end):
    both = http1("/dropbox?challenge=a", method="GET") + http1("/x?crc_token=a", method="GET")
    return pump(site, index, end, both, 2, pause=0.4)


def long_paths(site, index, end):
    return pump(site, index, end, b"".join(http1(f"/{secrets.token_hex(4000)}", method="GET") for _ in range(20)), 20)
