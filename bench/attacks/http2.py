#!/usr/bin/env python3
"""HTTP/2 conformance: cases of RFC 9113 and RFC 7541, each on a separate connection.

See README.md. A connection error is accepted in place of a stream error (RFC 9113 §5.4.2 lets a server choose), and so
is a connection that ends without GOAWAY. `code` is the right kind of error with another error code. No malformed request
may reach the upstream. Exits 1 on a failure not in KNOWN.
"""

import argparse
import contextlib
import http.server
import pathlib
import tempfile
import threading
import time

import hpack

import wire as w
from wire import Http2, fields, frame, integer, setting, text
from world import Authority, Gateway, accepts, free_port, until

ES, EH = w.END_STREAM, w.END_HEADERS
SEEN: list = []

# --- results of a case -------------------------------------------------------------------------------------------


def connection(*codes):
    return {f"connection {code}" for code in codes} | {"closed", "cut off", "reset"}


def stream(*codes):
    return connection(*codes) | {f"stream {code}" for code in codes}


PROTOCOL, SIZE, FLOW = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR"
CLOSED, COMPRESSION = "STREAM_CLOSED", "COMPRESSION_ERROR"
OK, ALIVE = {"answered 200"}, {"ignored", "answered 200"}
# RFC 9113 §8.1.1: a server may answer before it closes or resets the stream.
MALFORMED = stream(PROTOCOL) | {"answered 400"}

# --- requests and frames -----------------------------------------------------------------------------------------------------


def head(*more, method="GET", path="/case", number=1, flags=ES | EH, **pseudo) -> bytes:
    """HEADERS of a request; `pseudo` replaces a pseudo-header, None leaves it out."""
    return frame(w.HEADERS, flags, number, block(*more, method=method, path=path, **pseudo))


def block(*more, method="GET", path="/case", **pseudo) -> bytes:
    all_ = {"method": method, "scheme": "https", "authority": "localhost", "path": path, **pseudo}
    return fields(*[(f":{name}", value) for name, value in all_.items() if value is not None], *more)


def post(*more, number=1, **pseudo) -> bytes:
    return head(*more, method="POST", number=number, flags=EH, **pseudo)


def data(payload=b"", number=1, flags=ES) -> bytes:
    return frame(w.DATA, flags, number, payload)


def raw(block_: bytes, flags=ES | EH, number=1) -> bytes:
    return frame(w.HEADERS, flags, number, block_)


def increment(value: int, number=0) -> bytes:
    return frame(w.WINDOW_UPDATE, 0, number, value.to_bytes(4, "big"))


def reset(number: int, code=8) -> bytes:
    return frame(w.RST_STREAM, 0, number, code.to_bytes(4, "big"))


def ping(payload=b"12345678", flags=0, number=0) -> bytes:
    return frame(w.PING, flags, number, payload)


PRIORITY = bytes([0, 0, 0, 0, 15])
LONG = ("x-long", "a" * 300)

# Each: section, name, the bytes (with several: it waits for a response in between), the accepted results.
CASES = [
    # RFC 9113 §3 and §4: beginning and frames
    ("3.4", "a preface of something else", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], connection(PROTOCOL), "no preface"),
    ("3.4", "a preface cut short, then a frame", [w.PREFACE[:20] + frame(w.SETTINGS, 0, 0)], connection(PROTOCOL), "no preface"),
    ("3.4", "PING before SETTINGS", [w.PREFACE + ping()], connection(PROTOCOL), "no preface"),
    ("3.4", "a request right after the preface", [head()], OK),
    ("4.1", "a frame of an unknown type", [frame(0x16, 0, 0, b"x" * 8)], ALIVE),
    ("4.1", "a frame of an unknown type on a stream", [post() + frame(0x16, 0, 1, b"x") + data(b"x")], OK),
    ("4.1", "undefined flags of PING", [ping(b"undefine", flags=0x16)], ALIVE),
    ("4.1", "the reserved bit of a stream identifier", [frame(w.PING, 0, 1 << 31, b"reserved")], ALIVE),
    ("4.2", "DATA of 2¹⁴ bytes", [post() + data(b"x" * 16384)], OK),
    ("4.2", "DATA of 2¹⁴ + 1 bytes", [post() + data(b"x" * 16385)], stream(SIZE)),
    ("4.2", "HEADERS of 2¹⁴ + 1 bytes", [raw(block(("x", "a" * 16400)))], connection(SIZE)),
    ("4.2", "PRIORITY of 2¹⁴ + 1 bytes", [frame(w.PRIORITY, 0, 1, bytes(16385))], stream(SIZE)),
    ("4.3", "a field block that ends in the middle of a field", [raw(block() + b"\x00\x85ab")], connection(COMPRESSION)),
    ("4.3", "PRIORITY within a field block", [head(flags=ES) + frame(w.PRIORITY, 0, 1, PRIORITY) + frame(w.CONTINUATION, EH, 1)], connection(PROTOCOL)),
    ("4.3", "HEADERS of another stream within a field block", [head(flags=ES) + head(number=3)], connection(PROTOCOL)),
    ("4.3", "DATA within a field block", [head(flags=0) + data(b"x")], connection(PROTOCOL)),
    ("4.3", "a field block that is never ended, closed by GOAWAY", [head(flags=ES) + frame(w.GOAWAY, 0, 0, bytes(8))], connection(PROTOCOL)),
    # §5: streams
    ("5.1", "idle: DATA", [data(b"x")], connection(PROTOCOL)),
    ("5.1", "idle: RST_STREAM", [reset(1)], connection(PROTOCOL)),
    ("5.1", "idle: WINDOW_UPDATE", [increment(100, 1)], connection(PROTOCOL)),
    ("5.1", "idle: CONTINUATION", [frame(w.CONTINUATION, EH, 1, block())], connection(PROTOCOL)),
    ("5.1", "idle: PRIORITY", [frame(w.PRIORITY, 0, 1, PRIORITY)], ALIVE),
    ("5.1", "half-closed: DATA", [head(path="/slow") + data(b"x")], stream(CLOSED)),
    ("5.1", "half-closed: HEADERS", [head(path="/slow") + head()], stream(CLOSED)),
    ("5.1", "half-closed: CONTINUATION", [head(path="/slow") + frame(w.CONTINUATION, EH, 1, block())], connection(PROTOCOL, CLOSED)),
    ("5.1", "half-closed: WINDOW_UPDATE and PRIORITY", [head(path="/slow") + increment(1, 1) + frame(w.PRIORITY, 0, 1, PRIORITY)], OK),
    ("5.1", "closed by RST_STREAM: DATA", [post() + reset(1) + data(b"x")], stream(CLOSED)),
    ("5.1", "closed by RST_STREAM: HEADERS", [post() + reset(1) + head()], stream(CLOSED)),
    ("5.1", "closed by RST_STREAM: CONTINUATION", [post() + reset(1) + frame(w.CONTINUATION, EH, 1, block())], connection(PROTOCOL, CLOSED)),
    ("5.1", "closed by END_STREAM: DATA", [head(), data(b"x")], stream(CLOSED)),
    ("5.1", "closed by END_STREAM: HEADERS", [head(), head()], connection(CLOSED, PROTOCOL)),
    ("5.1", "closed by END_STREAM: CONTINUATION", [head(), frame(w.CONTINUATION, EH, 1, block())], connection(PROTOCOL, CLOSED)),
    ("5.1", "closed: WINDOW_UPDATE, RST_STREAM, PRIORITY", [head(), increment(1, 1) + frame(w.PRIORITY, 0, 1, PRIORITY) + reset(1)], ALIVE),
    ("5.1.1", "an even stream identifier", [head(number=2)], connection(PROTOCOL)),
    ("5.1.1", "a smaller identifier than before", [head(number=5), head(number=3)], connection(PROTOCOL, CLOSED)),
    ("5.1.1", "identifiers that leave some out", [head(number=1), head(number=101)], OK),
    ("5.1.2", "more streams than allowed", [b"".join(post(number=n) for n in range(1, 203, 2))], stream(PROTOCOL, "REFUSED_STREAM")),
    ("5.3", "HEADERS that depend on themselves (deprecated: RFC 9113 has no error for it)", [frame(w.HEADERS, ES | EH | w.PRIORITISED, 1, bytes([0, 0, 0, 1, 15]) + block())], OK | stream(PROTOCOL)),
    ("5.3", "PRIORITY that depends on itself (deprecated likewise)", [frame(w.PRIORITY, 0, 1, bytes([0, 0, 0, 1, 15]))], ALIVE | stream(PROTOCOL)),
    ("5.5", "an unknown frame within a field block", [head(flags=ES) + frame(0x16, 0, 0, b"x") + frame(w.CONTINUATION, EH, 1)], connection(PROTOCOL)),
    # §6: each frame
    ("6.1", "DATA on stream 0", [data(b"x", 0)], connection(PROTOCOL)),
    ("6.1", "DATA with padding", [post() + data(b"\x05hello" + bytes(5), flags=ES | w.PADDED)], OK),
    ("6.1", "DATA with more padding than it has", [post() + data(b"\x06hello", flags=ES | w.PADDED)], connection(PROTOCOL)),
    ("6.1", "DATA, PADDED and empty", [post() + data(b"", flags=ES | w.PADDED)], connection(SIZE, PROTOCOL)),
    ("6.2", "HEADERS on stream 0", [head(number=0)], connection(PROTOCOL)),
    ("6.2", "HEADERS with padding", [frame(w.HEADERS, ES | EH | w.PADDED, 1, b"\x04" + block() + bytes(4))], OK),
    ("6.2", "HEADERS with more padding than it has", [frame(w.HEADERS, ES | EH | w.PADDED, 1, b"\xff" + block()[:40])], connection(PROTOCOL)),
    ("6.2", "HEADERS with a priority", [frame(w.HEADERS, ES | EH | w.PRIORITISED, 1, PRIORITY + block())], OK),
    ("6.2", "HEADERS with a priority cut short", [frame(w.HEADERS, ES | EH | w.PRIORITISED, 1, b"\0\0")], connection(SIZE, PROTOCOL)),
    ("6.3", "PRIORITY on stream 0", [frame(w.PRIORITY, 0, 0, PRIORITY)], connection(PROTOCOL)),
    ("6.3", "PRIORITY of 4 bytes", [frame(w.PRIORITY, 0, 1, bytes(4))], stream(SIZE)),
    ("6.4", "RST_STREAM on stream 0", [reset(0)], connection(PROTOCOL)),
    ("6.4", "RST_STREAM of 3 bytes", [post() + frame(w.RST_STREAM, 0, 1, bytes(3))], connection(SIZE)),
    ("6.5", "SETTINGS: acknowledgement with content", [frame(w.SETTINGS, w.ACK, 0, setting(1, 1))], connection(SIZE)),
    ("6.5", "SETTINGS on a stream", [frame(w.SETTINGS, 0, 1, setting(1, 1))], connection(PROTOCOL)),
    ("6.5", "SETTINGS of 5 bytes", [frame(w.SETTINGS, 0, 0, bytes(5))], connection(SIZE)),
    ("6.5.2", "ENABLE_PUSH of 2", [frame(w.SETTINGS, 0, 0, setting(2, 2))], connection(PROTOCOL)),
    ("6.5.2", "INITIAL_WINDOW_SIZE of 2³¹", [frame(w.SETTINGS, 0, 0, setting(4, 1 << 31))], connection(FLOW)),
    ("6.5.2", "MAX_FRAME_SIZE of 2¹⁴ − 1", [frame(w.SETTINGS, 0, 0, setting(5, 16383))], connection(PROTOCOL)),
    ("6.5.2", "MAX_FRAME_SIZE of 2²⁴", [frame(w.SETTINGS, 0, 0, setting(5, 1 << 24))], connection(PROTOCOL)),
    ("6.5.2", "an unknown setting", [frame(w.SETTINGS, 0, 0, setting(0xff, 1))], ALIVE),
    ("6.5.3", "SETTINGS are acknowledged", [frame(w.SETTINGS, 0, 0, setting(3, 10))], {"acknowledged"}, "settings"),
    ("6.5.3", "of two values of one setting the last counts", [frame(w.SETTINGS, 0, 0, setting(4, 100) + setting(4, 1)) + head()], {"1 bytes"}, "window"),
    ("6.6", "PUSH_PROMISE by a client", [frame(w.PUSH_PROMISE, EH, 1, bytes([0, 0, 0, 2]) + block())], connection(PROTOCOL)),
    ("6.7", "PING is answered with its content", [ping(b"mirrored")], ALIVE),
    ("6.7", "PING that is an acknowledgement", [ping(b"mirrored", flags=w.ACK)], ALIVE),
    ("6.7", "PING on a stream", [ping(number=1)], connection(PROTOCOL)),
    ("6.7", "PING of 6 bytes", [ping(b"123456")], connection(SIZE)),
    ("6.8", "GOAWAY on a stream", [frame(w.GOAWAY, 0, 1, bytes(8))], connection(PROTOCOL)),
    ("6.8", "GOAWAY of 7 bytes", [frame(w.GOAWAY, 0, 0, bytes(7))], connection(SIZE)),
    ("6.8", "a request that was there before the client's GOAWAY", [head(path="/slow") + frame(w.GOAWAY, 0, 0, bytes(8))], OK),
    ("6.9", "WINDOW_UPDATE of 0 for the connection", [increment(0)], connection(PROTOCOL)),
    ("6.9", "WINDOW_UPDATE of 0 for a stream", [post() + increment(0, 1)], stream(PROTOCOL)),
    ("6.9", "WINDOW_UPDATE of 3 bytes", [frame(w.WINDOW_UPDATE, 0, 0, bytes(3))], connection(SIZE)),
    ("6.9.1", "a window of 1 takes 1 byte", [frame(w.SETTINGS, 0, 0, setting(4, 1)) + head()], {"1 bytes"}, "window"),
    ("6.9.1", "beyond 2³¹ − 1 for the connection", [increment((1 << 31) - 1) * 2], connection(FLOW)),
    ("6.9.1", "beyond 2³¹ − 1 for a stream", [post() + increment((1 << 31) - 1, 1)], stream(FLOW)),
    ("6.9.2", "a window that SETTINGS open late", [frame(w.SETTINGS, 0, 0, setting(4, 0)) + head(), frame(w.SETTINGS, 0, 0, setting(4, 1))], {"1 bytes"}, "window"),
    ("6.9.2", "a window that SETTINGS make negative", [frame(w.SETTINGS, 0, 0, setting(4, 2)) + head(), frame(w.SETTINGS, 0, 0, setting(4, 0)) + increment(1, 1)], {"2 bytes"}, "window"),
    ("6.9.2", "SETTINGS that make a stream's window too large", [post() + increment((1 << 31) - 1 - 65535, 1) + frame(w.SETTINGS, 0, 0, setting(4, 65536))], connection(FLOW)),
    ("6.10", "CONTINUATION, several", [head(flags=ES) + frame(w.CONTINUATION, 0, 1, fields(("x", "1"))) + frame(w.CONTINUATION, EH, 1, fields(("y", "2")))], OK),
    ("6.10", "CONTINUATION after END_HEADERS", [post() + frame(w.CONTINUATION, EH, 1, fields(("x", "1")))], connection(PROTOCOL)),
    ("6.10", "CONTINUATION after a CONTINUATION with END_HEADERS", [head(method="POST", flags=0) + frame(w.CONTINUATION, EH, 1) + frame(w.CONTINUATION, EH, 1)], connection(PROTOCOL)),
    ("6.10", "CONTINUATION after DATA", [post() + data(b"x", flags=0) + frame(w.CONTINUATION, EH, 1)], connection(PROTOCOL)),
    ("6.10", "CONTINUATION on stream 0", [head(flags=ES) + frame(w.CONTINUATION, EH, 0)], connection(PROTOCOL)),
    ("6.10", "CONTINUATION of another stream", [head(flags=ES) + frame(w.CONTINUATION, EH, 3)], connection(PROTOCOL)),
    ("6.10", "a field block of 20 CONTINUATIONs", [head(flags=ES) + frame(w.CONTINUATION, 0, 1, b"") * 3 + b"".join(frame(w.CONTINUATION, 0, 1, fields((f"x-{n}", "1"))) for n in range(16)) + frame(w.CONTINUATION, EH, 1)], OK | connection("ENHANCE_YOUR_CALM")),
    # §8: requests
    ("8.1", "trailers", [post() + data(b"x", flags=0) + raw(fields(("x-trailer", "1")))], OK),
    ("8.1", "trailers without END_STREAM", [post() + data(b"x", flags=0) + raw(fields(("x-trailer", "1")), EH)], MALFORMED),
    ("8.1", "DATA after trailers", [post(path="/slow") + data(b"x", flags=0) + raw(fields(("x-trailer", "1"))) + data(b"y")], stream(CLOSED)),
    ("8.1.1", "content-length larger than DATA", [post(("content-length", "2")) + data(b"x")], MALFORMED),
    ("8.1.1", "content-length smaller than DATA", [post(("content-length", "1")) + data(b"xy")], MALFORMED),
    ("8.1.1", "content-length smaller than several DATA", [post(("content-length", "1")) + data(b"x", flags=0) + data(b"y")], MALFORMED),
    ("8.1.1", "content-length and no DATA", [head(("content-length", "1"), method="POST")], MALFORMED),
    ("8.1.1", "content-length larger than DATA before trailers", [post(("content-length", "2")) + data(b"x", flags=0) + raw(fields(("x", "1")))], MALFORMED),
    ("8.1.1", "two content-lengths that differ", [post(("content-length", "1"), ("content-length", "2")) + data(b"x")], MALFORMED),
    ("8.1.1", "two content-lengths that agree", [post(("content-length", "1"), ("content-length", "1")) + data(b"x")], MALFORMED | OK),
    *[("8.1.1", f"content-length {value!r}", [post(("content-length", value)) + data(b"x")], MALFORMED) for value in ("+1", "-1", "1,1", "0x1", "1 ", "", "18446744073709551617")],
    *[("8.2.1", f"the name {name!r}", [head((name, "1"))], MALFORMED) for name in ("X-Upper", "x y", "x:y", ":", "", "x\r", "x\n", "x\0", "x\x7f", b"x\xe9", "x(y)")],
    *[("8.2.1", f"the value {value!r}", [head(("x", value))], MALFORMED) for value in ("a\rb", "a\nb", "a\0b", "a\r\nx-injected: 1", " a", "a ", "\ta")],
    ("8.2.1", "the value b'a\\xe9', which is allowed", [head(("x", b"a\xe9"))], OK),
    *[("8.2.2", f"{name}: {value}", [head((name, value))], MALFORMED) for name, value in
      (("connection", "keep-alive"), ("connection", "x"), ("keep-alive", "timeout=1"), ("proxy-connection", "keep-alive"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, deflate"))],
    ("8.2.2", "te: trailers", [head(("te", "trailers"))], OK),
    ("8.2.2", "transfer-encoding: chunked with DATA", [post(("transfer-encoding", "chunked")) + data(b"0\r\n\r\n")], MALFORMED),
    ("8.2.3", "cookies in parts arrive as one", [head(("cookie", "a=b"), ("cookie", "c=d"))], {"cookie a=b; c=d"}, "cookie"),
    ("8.3", "an unknown pseudo-header", [raw(block(fake="1"))], MALFORMED),
    ("8.3", ":status in a request", [raw(block(status="200"))], MALFORMED),
    ("8.3", "a pseudo-header in trailers", [post() + data(b"x", flags=0) + raw(fields((":path", "/other")))], MALFORMED),
    ("8.3", "a pseudo-header after a field", [raw(block(("x", "1"), path=None) + fields((":path", "/case")))], MALFORMED),
    *[("8.3.1", f"no :{name}", [raw(block(**{name: None}))], MALFORMED) for name in ("method", "scheme", "path")],
    *[("8.3.1", f"an empty :{name}", [raw(block(**{name: ""}))], MALFORMED) for name in ("method", "scheme", "path", "authority")],
    *[("8.3.1", f":{name} twice", [raw(block() + fields((f":{name}", value)))], MALFORMED) for name, value in
      (("method", "GET"), ("scheme", "https"), ("path", "/case"), ("authority", "localhost"), ("authority", "other"))],
    *[("8.3.1", f":path {path!r}", [head(path=path)], MALFORMED | {"answered 404"}) for path in
      ("case", "*", "https://localhost/case", "/case x", "/case\r\nx: 1", "/case#x", "/\0", "//case", "/case\x7f")],
    *[("8.3.1", f":method {method!r}", [raw(block(method=method))], MALFORMED) for method in ("GE T", "GET\r\n", "G\0T", "GET /x HTTP/1.1\r\nx:")],
    *[("8.3.1", f":scheme {scheme!r}", [raw(block(scheme=scheme))], MALFORMED) for scheme in ("ht tp", "1", "https://", "http\r\n")],
    *[("8.3.1", f":authority {name!r}", [raw(block(authority=name))], MALFORMED) for name in ("user@localhost", "local host", "localhost/x", "localhost\r\n")],
    ("8.3.1", "Host other than :authority", [head(("host", "other"))], MALFORMED),
    ("8.3.1", "Host the same as :authority", [head(("host", "localhost"))], OK),
    ("8.3.1", "Host and no :authority", [raw(block(("host", "localhost"), authority=None))], OK),
    ("8.3.1", "neither Host nor :authority", [raw(block(authority=None))], MALFORMED),
    ("8.5", "CONNECT", [raw(fields((":method", "CONNECT"), (":authority", "localhost:1")))], MALFORMED | {"answered 404", "answered 405"}),
    ("8.5", "CONNECT with :scheme and :path", [raw(block(method="CONNECT"))], MALFORMED),
    ("RFC 8441", ":protocol without SETTINGS_ENABLE_CONNECT_PROTOCOL", [raw(block(method="CONNECT", protocol="websocket"))], MALFORMED),
    # RFC 7541
    ("7541 2.3.3", "an index beyond both tables", [raw(block() + b"\xbe")], connection(COMPRESSION)),
    ("7541 2.3.3", "a name by an index beyond both tables", [raw(block() + b"\x0f\x2f\x011")], connection(COMPRESSION)),
    ("7541 2.3.3", "a field out of the dynamic table", [raw(block() + b"\x40" + text("x") + text("1")) + raw(block() + b"\xbe", number=3)], OK),
    ("7541 4.2", "a table size update at the end of a block", [raw(block() + b"\x20")], connection(COMPRESSION)),
    ("7541 4.2", "a table size update at the beginning", [raw(b"\x20" + block())], OK),
    ("7541 4.2", "three table size updates at the beginning (two suffice)", [raw(b"\x20\x3f\xe1\x1f\x20" + block())], OK | connection(COMPRESSION)),
    ("7541 4.4", "a field larger than the table empties it", [raw(b"\x3f\x00" + block() + b"\x40" + text("x") + text("a" * 100)), raw(block() + b"\xbe", number=3)], connection(COMPRESSION)),
    ("7541 5.1", "an integer beyond 2³²", [raw(block() + b"\x00\x7f" + b"\xff" * 9 + b"\x7f")], connection(COMPRESSION)),
    ("7541 5.2", "Huffman padding of more than 7 bits", [raw(block() + b"\x00\x01x\x82\x1f\xff")], connection(COMPRESSION)),
    ("7541 5.2", "Huffman padding that is not of ones", [raw(block() + b"\x00\x01x\x81\x18")], connection(COMPRESSION)),
    ("7541 5.2", "the symbol EOS in a Huffman text", [raw(block() + b"\x00\x01x\x84\xff\xff\xff\xff")], connection(COMPRESSION)),
    ("7541 5.2", "Huffman texts", [raw(hpack.Encoder().encode([(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/case"), ("x", "abc")], huffman=True))], OK),
    ("7541 5.2", "a text longer than its block", [raw(block() + b"\x00\x01x" + integer(100, 7) + b"a")], connection(COMPRESSION)),
    ("7541 6.1", "the index 0", [raw(block() + b"\x80")], connection(COMPRESSION)),
    ("7541 6.2.3", "a field that is never indexed", [raw(block() + b"\x10" + text("x") + text("1"))], OK),
    ("7541 6.3", "a table larger than SETTINGS allow", [raw(b"\x3f\xe2\x1f" + block())], connection(COMPRESSION)),
]

# Accepted failures; docs/attacks.md has the reasons.
KNOWN = [
    "3.4 PING before SETTINGS",
    "8.3 a pseudo-header in trailers",
    "8.3.1 :path '/case#x'",
]

# --- the run ----------------------------------------------------------------------------------------------------------


class App(http.server.BaseHTTPRequestHandler):
    """The upstream: answers four bytes, and records each request that arrived whole."""

    protocol_version = "HTTP/1.1"

    def do(self):
        if self.path == "/slow":
            time.sleep(0.1)
        if self.body_is_whole():
            SEEN.append(self.headers)
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-length", "4")
        self.send_header("connection", "close")
        with contextlib.suppress(OSError):
            self.end_headers()
            self.wfile.write(b"good")

    do_GET = do_POST = do

    def body_is_whole(self) -> bool:
        if not self.headers.get("transfer-encoding"):
            length = int(self.headers.get("content-length", 0))
            return len(self.rfile.read(length)) == length
        while (line := self.rfile.readline()) not in (b"0\r\n", b""):
            pass
        return line != b""

    def log_message(self, *_):
        pass


class Watch:
    """The frames received on a connection, summarized in words."""

    def __init__(self, wire: Http2):
        self.wire, self.error, self.status = wire, None, None
        self.bytes, self.acknowledged, self.pinged = 0, 0, False

    def note(self, one: w.Frame) -> None:
        if one.kind == w.GOAWAY and w.code(one) != "NO_ERROR":
            self.error = f"connection {w.code(one)}"
        elif one.kind == w.RST_STREAM and w.code(one) not in ("NO_ERROR", "CANCEL"):
            self.error = self.error or f"stream {w.code(one)}"
        elif one.kind == w.HEADERS:
            self.status = self.wire.status(one)
        elif one.kind == w.DATA:
            self.bytes += len(one.payload)
        self.acknowledged += one.kind == w.SETTINGS and one.flags & w.ACK
        self.pinged = self.pinged or (one.kind == w.PING and one.payload == b"the last")

    def until_quiet(self, seconds: float) -> None:
        quiet = time.monotonic() + seconds
        while not self.wire.ended and time.monotonic() < quiet:
            self.wire.wait(0.02)
            for one in self.wire.frames():
                self.note(one)
                quiet = time.monotonic() + seconds

    def told(self, kind: str) -> str:
        if self.error:
            return self.error
        if kind == "window":
            return f"{self.bytes} bytes"
        if kind == "settings":
            return "acknowledged" if self.acknowledged == 2 and self.pinged else "not acknowledged"
        if kind == "cookie" and SEEN:
            return f"cookie {', '.join(SEEN[-1].get_all('cookie'))}"
        answered = f"answered {self.status}" if self.status else "ignored" if self.pinged else "nothing"
        return self.wire.ended if self.wire.ended and not self.status else answered


def carry_out(port: int, sent: list[bytes], kind: str) -> str:
    wire = Http2(port, preface=kind != "no preface")
    watch = Watch(wire)
    for part in sent:
        wire.send(part, time.monotonic() + 2)
        watch.until_quiet(0.2)
    wire.send(ping(b"the last"), time.monotonic() + 1)
    watch.until_quiet(0.2)
    wire.close()
    return watch.told(kind)


def verdict_of(told: str, wanted: set[str], arrived: bool) -> str:
    """`code` is an error of the right kind with another code than the RFC's."""
    if wanted >= MALFORMED and OK.isdisjoint(wanted) and arrived:
        return "FAIL"
    if told in wanted:
        return "ok"
    either = told.startswith("connection ") and any(one.startswith("connection ") for one in wanted)
    return "code" if either else "FAIL"


def configuration(port: int, admin: int, app: int) -> str:
    return f"""
listeners:
  - address: "127.0.0.1:{port}"
    tls: {{ certificates: [ {{ cert: server.pem, key: server.pem }} ] }}
admin: {{ address: "127.0.0.1:{admin}" }}
routes:
  - {{ name: public, match: {{ path: "/*" }}, upstream: {{ url: "http://127.0.0.1:{app}" }}, auth: public }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only cases with one of these words in section or name")
    parser.add_argument("--hookgate", default="target/release/hookgate")
    args = parser.parse_args()
    port, admin, app = free_port(), free_port(), free_port()
    threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", app), App).serve_forever, daemon=True).start()
    until("the upstream listens", lambda: accepts(app))
    verdicts = {"ok": [], "code": [], "FAIL": []}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "server.pem").write_bytes(Authority().issue()[0])
        with Gateway(args.hookgate, folder, configuration(port, admin, app), admin) as gateway:
            for section, name, sent, wanted, *kind in CASES:
                if args.words and not any(word in f"{section} {name}" for word in args.words):
                    continue
                before = len(SEEN)
                told = carry_out(port, sent, kind[0] if kind else "")
                verdict = verdict_of(told, wanted, len(SEEN) > before)
                verdicts[verdict].append(f"{section} {name}")
                why = "" if verdict == "ok" else f"   wanted {', '.join(sorted(wanted - connection()))}"
                print(f"{verdict:<5} {section:<11} {name:<60} {told}{why}", flush=True)
            lived = gateway.process.poll() is None
    print("\n" + ", ".join(f"{len(cases)} {verdict}" for verdict, cases in verdicts.items()) + ("" if lived else ", and the gateway died"))
    raise SystemExit(0 if lived and set(verdicts["FAIL"]) <= set(KNOWN) else 1)


if __name__ == "__main__":
    main()
