"""One request and its response on an HTTP/1.1 or HTTP/2 connection of asyncio."""

import asyncio
import re
import time

import h2.config
import h2.connection
import h2.events
from h2.exceptions import ProtocolError

from addresses import bound, loopback
from wire import CONTEXTS


class Exchange(asyncio.Protocol):
    """A connection with one request at a time. `ended` is whether the peer has closed it."""

    def __init__(self, counter):
        self.counter, self.ended, self.reusable, self.response = counter, False, True, None

    def connection_made(self, transport):
        self.transport = transport
        with self.counter.get_lock():
            self.counter.value += 1

    def connection_lost(self, error):
        self.ended = True
        with self.counter.get_lock():
            self.counter.value -= 1
        self.resolve("closed" if error is None else type(error).__name__)

    def resolve(self, status: str) -> None:
        if self.response and not self.response.done():
            self.response.set_result(status)

    def close(self) -> None:
        self.transport.abort()

    async def exchange(self, method: str, path: str, fields: list, parts: list[tuple[float, bytes]], size: int) -> str:
        """Sends each part of the body when it is due, unless the response comes before; returns the status."""
        self.response = asyncio.get_running_loop().create_future()
        self.begin(method, path, fields, size)
        for number, (due, part) in enumerate(parts, 1):
            await asyncio.wait([self.response], timeout=max(0, due - time.monotonic()))
            if self.response.done():
                self.reusable = False
                break
            self.send(part, number == len(parts))
        return await self.response


class Http1(Exchange):
    NAME, ALPN = "HTTP/1.1", "http/1.1"

    def begin(self, method, path, fields, size):
        self.received = bytearray()
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in fields)]
        if method == "POST":
            lines.append(f"content-length: {size}")
        self.transport.write("\r\n".join([*lines, "\r\n"]).encode())

    def send(self, part, last):
        self.transport.write(part)

    def data_received(self, data):
        self.received += data
        head, end, body = bytes(self.received).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if end and (not length or len(body) >= int(length[1])):
            self.reusable = bool(length) and not re.search(rb"(?i)\r\nconnection: close", head)
            self.resolve(head.split()[1].decode())


class Http2(Exchange):
    NAME, ALPN = "HTTP/2", "h2"

    def connection_made(self, transport):
        super().connection_made(transport)
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http2.initiate_connection()
        self.flush()

    def flush(self):
        self.transport.write(self.http2.data_to_send())

    def begin(self, method, path, fields, size):
        self.stream, self.unsent, self.last, self.status = self.http2.get_next_available_stream_id(), bytearray(), False, "?"
        pseudo = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]
        length = [("content-length", str(size))] if method == "POST" else []
        self.http2.send_headers(self.stream, [*pseudo, *fields, *length], end_stream=not size)
        self.flush()

    def send(self, part, last):
        self.unsent += part
        self.last = last
        self.send_more()

    def send_more(self):
        while self.unsent and (room := min(self.http2.local_flow_control_window(self.stream), self.http2.max_outbound_frame_size)):
            part = bytes(self.unsent[:room])
            del self.unsent[:room]
            self.http2.send_data(self.stream, part, end_stream=self.last and not self.unsent)
        self.flush()

    def data_received(self, data):
        try:
            for event in self.http2.receive_data(data):
                self.handle(event)
        except ProtocolError as error:
            self.resolve(type(error).__name__)
        self.flush()

    def handle(self, event):
        current = self.response and getattr(event, "stream_id", 0) == self.stream
        if isinstance(event, h2.events.DataReceived):
            self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.ended, self.reusable = True, False
        elif isinstance(event, h2.events.WindowUpdated) and self.response and not self.response.done() and self.unsent:
            self.send_more()
        elif current and isinstance(event, h2.events.ResponseReceived):
            self.status = dict(event.headers)[":status"]
        elif current and isinstance(event, h2.events.StreamEnded):
            self.resolve(self.status)
        elif current and isinstance(event, h2.events.StreamReset):
            self.resolve(self.status if self.status != "?" else f"RST_STREAM {event.error_code}")


async def connected(version: type, source: str, port: int, tls: bool, counter) -> Exchange:
    """A new connection from `source`."""
    loop, plain = asyncio.get_running_loop(), bound(source)
    plain.setblocking(False)
    try:
        await loop.sock_connect(plain, (loopback(source), port))
        secured = {"ssl": CONTEXTS[version.ALPN], "server_hostname": "localhost"} if tls else {}
        return (await loop.create_connection(lambda: version(counter), sock=plain, **secured))[1]
    except BaseException:
        plain.close()
        raise
