"""TLS connections and raw bytes: arbitrary HTTP/2 frames, and sending while responses are read."""

import collections
import select
import socket
import ssl
import struct
import time

import hpack

from addresses import bound, loopback

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITISED = 0x4, 0x8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CODES = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR "
    "REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
).split()

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def setting(number: int, value: int) -> bytes:
    return struct.pack(">HI", number, value)


def fields(*pairs) -> bytes:
    """A field block without the dynamic table, so that it can be sent on any connection, any number of times."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in pairs)


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return integer(len(value), 7) + value


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """RFC 7541 §5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    value, out = value - most, bytearray([first | most])
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + bytes([value]))


def request(path="/webhook", method="POST", *more) -> bytes:
    return fields((":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost"), *more)


def code(one: "Frame") -> str:
    """The error code of a GOAWAY, which may carry debug data after it, or of a RST_STREAM."""
    at = 4 if one.kind == GOAWAY else 0
    number = int.from_bytes(one.payload[at:at + 4], "big")
    return CODES[number] if number < len(CODES) else str(number)


def context(alpn=None) -> ssl.SSLContext:
    """A client context that does not verify the certificate: the server is the target."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols([alpn])
    return made


def tcp(port: int, source="127.0.0.3", timeout=5.0) -> socket.socket:
    plain = bound(source)
    plain.settimeout(timeout)
    try:
        plain.connect((loopback(source), port))
    except OSError:
        plain.close()
        raise
    return plain


CONTEXTS = {alpn: context(alpn) for alpn in (None, "h2", "http/1.1")}


class Wire:
    """A TLS connection. `received` holds unread bytes; `ended` is the reason why the connection is over, or None."""

    def __init__(self, port: int, source="127.0.0.3", alpn="http/1.1", timeout=5.0, receive_buffer=None):
        plain = tcp(port, source, timeout)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket = CONTEXTS[alpn].wrap_socket(plain, server_hostname="localhost")
        self.socket.setblocking(False)
        self.received, self.ended = bytearray(), None

    def close(self) -> None:
        self.socket.close()

    def read(self) -> None:
        """Reads all bytes that are available."""
        while not self.ended:
            try:
                got = self.socket.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except (ssl.SSLError, OSError) as error:
                self.ended = "cut off" if isinstance(error, ssl.SSLEOFError) else "reset"
                return
            if not got:
                self.ended = "closed"
            self.received += got

    def write(self, data: bytes) -> int:
        """Writes as much as the socket accepts; returns the number of bytes."""
        try:
            return self.socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except (ssl.SSLError, OSError):
            self.read()
            self.ended = self.ended or "reset"
            return 0

    def wait(self, seconds: float, sending=False) -> None:
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | (select.POLLOUT if sending else 0))
        if not self.socket.pending():
            poll.poll(max(0, seconds * 1000))

    def send(self, data: bytes, end: float, reading=True) -> bool:
        """Sends all data, while it reads responses; False if the connection or the time ends before."""
        view = memoryview(data)
        while view and not self.ended and time.monotonic() < end:
            if reading:
                self.read()
            sent = self.write(view[:65536])
            view = view[sent:]
            if not sent:
                self.wait(0.2, sending=True)
        return not view and not self.ended

    def wait_for(self, condition, end: float) -> bool:
        while not condition() and not self.ended and time.monotonic() < end:
            self.wait(min(0.2, end - time.monotonic()))
            self.read()
        return condition()


class Http2(Wire):
    """An HTTP/2 connection that has sent its preface, unless `preface` is False, and nothing else."""

    def __init__(self, port: int, source="127.0.0.3", settings=b"", preface=True, **more):
        super().__init__(port, source, "h2", **more)
        self.decoder = hpack.Decoder()
        if preface:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings), time.monotonic() + 2)

    def frames(self) -> list[Frame]:
        """Takes the complete frames from the received bytes."""
        self.read()
        found = []
        while len(self.received) >= 9:
            length = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + length:
                break
            kind, flags = self.received[3], self.received[4]
            stream = int.from_bytes(self.received[5:9], "big") & 0x7FFFFFFF
            found.append(Frame(kind, flags, stream, bytes(self.received[9:9 + length])))
            del self.received[:9 + length]
        return found

    def status(self, head: Frame) -> str:
        return dict(self.decoder.decode(head.payload)).get(":status", "?")
