"""Genuine senders: signed bodies of 1 to 64 KiB over IPv4 and IPv6, HTTP/1.1 and HTTP/2, kept and new connections, whole
or in pieces within a second; tokens; endpoint verification challenges; and the liveness probe.

A request begins when it is due, regardless of earlier ones, and its latency counts from then; for one in pieces, from
when its last piece is due.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import multiprocessing
import secrets
import threading
import time
from dataclasses import dataclass

from h2.exceptions import ProtocolError

from addresses import GENUINE_4, GENUINE_6
from exchange import Http1, Http2, connected

FORK = multiprocessing.get_context("fork")
KEY, SIZES = b"a key of thirty-two bytes, exact", [1 << 10, 4 << 10, 16 << 10, 64 << 10]
PIECES, BETWEEN, PATIENCE = 4, 0.3, 10.0
WHSEC, SECRET = "whsec_" + base64.b64encode(KEY).decode(), "a-secret-of-more-than-sixteen-bytes"


@dataclass
class Lane:
    """One kind of request from one address, `rate` times a second."""

    name: str
    rate: float
    make: callable
    source: str = GENUINE_4
    version: type = Http1
    kept: bool = False
    pieces: int = 1
    port: int = 0
    patience: float = PATIENCE


@dataclass
class Row:
    lane: str
    due: float
    taken: float | None = None
    status: str = "pending"

    @property
    def served(self) -> bool:
        return self.status == "200"

    @property
    def signed(self) -> bool:
        return self.lane.startswith("IPv")


# --- the requests -----------------------------------------------------------------------------------------------------


def signed(number: int):
    body = base64.b64encode(secrets.token_bytes(SIZES[number % len(SIZES)] * 3 // 4))
    id_, at = f"msg_{number}_{secrets.token_hex(6)}", str(int(time.time()))
    mac = base64.b64encode(hmac.digest(KEY, f"{id_}.{at}.".encode() + body, hashlib.sha256)).decode()
    return "POST", "/hooks", [("webhook-id", id_), ("webhook-timestamp", at), ("webhook-signature", f"v1,{mac}")], body


def with_token(tokens: list[str]):
    return lambda number: ("POST", "/webhook", [("authorization", f"Bearer {tokens[number % len(tokens)]}")], b"{}")


def signed_challenge(number: int):
    """Zoom's, whose response is a MAC."""
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": f"token{number}"}}).encode()
    at = str(int(time.time()))
    mac = hmac.new(f"{SECRET}zoom".encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    return "POST", "/zoom", [("x-zm-request-timestamp", at), ("x-zm-signature", f"v0={mac}")], body


def unsigned_challenge(number: int):
    """X's, hourly; without a response X ends the registration."""
    return "GET", f"/x?crc_token=token{number}", [], b""


def lanes(port: int, admin: int, tokens: list[str]) -> list[Lane]:
    found = [
        Lane("token", 10, with_token(tokens), kept=True),
        Lane("signed challenge", 1, signed_challenge),
        Lane("challenge", 1, unsigned_challenge),
        Lane("probe", 2, lambda _: ("GET", "/livez", [], b""), port=admin, patience=1.0),
    ]
    for source, version, kept in itertools.product((GENUINE_4, GENUINE_6), (Http1, Http2), (True, False)):
        name = f"IPv{6 if ':' in source else 4} {version.NAME} {'kept' if kept else 'new'}"
        found.append(Lane(name, 5, signed, source, version, kept))
        found.append(Lane(f"{name} in pieces", 1, signed, source, version, kept, PIECES))
    for lane in found:
        lane.port = lane.port or port
    return found


# --- sending them -----------------------------------------------------------------------------------------------------


class Senders:
    """All lanes, in a separate process; `rows` fills while they run."""

    def __init__(self, port: int, admin: int, tokens: list[str]):
        self.stop, self.open = FORK.Event(), FORK.Value("l")
        ours, theirs = FORK.Pipe(duplex=False)
        self.rows: dict[int, Row] = {}
        self.process = FORK.Process(target=self.send, args=(lanes(port, admin, tokens), theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.reader = threading.Thread(target=self.read, args=(ours,), daemon=True)
        self.reader.start()

    def read(self, pipe) -> None:
        try:
            while True:
                number, row = pipe.recv()
                self.rows[number] = row
        except EOFError:
            pass

    def send(self, lanes_: list[Lane], pipe) -> None:
        asyncio.run(self.send_all(lanes_, pipe))

    async def send_all(self, lanes_: list[Lane], pipe) -> None:
        numbers, begun = itertools.count(), time.monotonic() + 0.2
        lasting = [self.keep_sending(lane, begun + at * 0.013, numbers, pipe) for at, lane in enumerate(lanes_)]
        await asyncio.gather(*lasting)

    async def keep_sending(self, lane: Lane, begun: float, numbers, pipe) -> None:
        idle, running = [], set()
        for count in itertools.count():
            due = begun + count / lane.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            if self.stop.is_set():
                break
            one = asyncio.create_task(self.send_one(lane, count, due, idle, next(numbers), pipe))
            running.add(one)
            one.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def send_one(self, lane: Lane, count: int, due: float, idle: list, number: int, pipe) -> None:
        end = due + BETWEEN * (lane.pieces - 1)
        row = Row(lane.name, end)
        pipe.send((number, row))
        try:
            row.status = await asyncio.wait_for(self.exchange(lane, count, due, idle), end + lane.patience - time.monotonic())
        except TimeoutError:
            row.status = "no response"
        except (OSError, ProtocolError) as error:
            row.status = type(error).__name__
        row.taken = time.monotonic() - end
        pipe.send((number, row))

    async def exchange(self, lane: Lane, count: int, due: float, idle: list) -> str:
        method, path, fields, body = lane.make(count)
        connection = next((one for one in iter(lambda: idle.pop() if idle else None, None) if not one.ended), None)
        if not connection:
            connection = await connected(lane.version, lane.source, lane.port, tls=lane.name != "probe", counter=self.open)
        size = -(-len(body) // lane.pieces)
        parts = [body[at:at + size] for at in range(0, len(body), size or 1)]
        try:
            timed = [(due + BETWEEN * at, part) for at, part in enumerate(parts)]
            status = await connection.exchange(method, path, fields, timed, len(body))
        except BaseException:
            connection.close()
            raise
        if lane.kept and connection.reusable:
            idle.append(connection)
        else:
            connection.close()
        return status

    def finish(self) -> None:
        self.stop.set()
        self.process.join(PATIENCE + 5)
        self.reader.join(1)


# --- their results ----------------------------------------------------------------------------------------------------


class Period:
    """The requests that were due in a span of time."""

    def __init__(self, rows, begun: float, ended: float):
        self.rows = [row for row in rows if begun <= row.due < ended]
        self.unserved = [row for row in self.rows if not row.served]
        self.times = sorted(row.taken * 1000 for row in self.rows if row.served)

    def percentile(self, hundredths: int) -> float | None:
        return self.times[len(self.times) * hundredths // 100] if self.times else None


def served_again(rows, ended: float) -> float | None:
    """Seconds from `ended` to the first response 200 after which all are; None while requests are rejected or pending."""
    now, rows = time.monotonic(), [row for row in rows if row.due >= ended]
    last = max((row.due for row in rows if not row.served and (row.taken is not None or now - row.due > 1)), default=ended)
    after = [row.due + row.taken for row in rows if row.served and row.due >= last]
    return min(after) - ended if after and now - last > 2.5 else None
