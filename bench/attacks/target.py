"""The target of the floods: routes of each kind under the default limits, a legitimate client, a server of key sets."""

import http.server
import json
import multiprocessing
import pathlib
import re
import threading
import time
from dataclasses import dataclass

from wire import Wire
from world import AUDIENCE, ISSUER, SECRET, Authority, TokenIssuer, free_port, until, accepts

# A forked process inherits the keys, tokens and ports of its parent.
FORK = multiprocessing.get_context("fork")
GOOD_RATE, GOOD_CONNECTIONS, GOOD_ADDRESS = 100, 4, "127.0.0.2"


@dataclass
class Site:
    port: int
    issuer: TokenIssuer
    tokens: list[str]


def configuration(port: int, admin: int, app: int, keys: int, timeouts: str, jwks: str, timeout: str) -> str:
    upstream = f'upstream: {{ url: "http://127.0.0.1:{app}", timeouts: {{ total: {timeout} }} }}'
    often = ", refresh_interval: 1s, cooldown: 1s" if jwks != "good" else ", cooldown: 5s"
    jwt = f"jwt: {{ issuer: ISSUER, audience: {AUDIENCE}"
    return f"""
listeners:
  - address: "127.0.0.1:{port}"
    tls: {{ certificates: [ {{ cert: server.pem, key: server.pem }} ] }}
    timeouts: {{ {timeouts} }}
admin: {{ address: "127.0.0.1:{admin}" }}
issuers:
  local: {{ issuer: "{ISSUER}", algorithms: [ES256], jwks: {{ file: jwks.json }} }}
  remote: {{ issuer: "{ISSUER}", algorithms: [ES256], jwks: {{ url: "http://127.0.0.1:{keys}/{jwks}"{often} }} }}
routes:
  - name: webhook
    match: {{ path: /webhook, methods: [POST] }}
    {upstream}
    auth: {{ {jwt.replace("ISSUER", "local")} }} }}
    replay_protection: disabled
  - name: remote
    match: {{ path: /remote, methods: [POST] }}
    {upstream}
    auth: {{ {jwt.replace("ISSUER", "remote")} }} }}
    replay_protection: disabled
  - name: json
    match: {{ path: /json, methods: [POST] }}
    {upstream}
    auth: {{ {jwt.replace("ISSUER", "local")}, token_from: {{ json: /token }} }} }}
    replay_protection: disabled
  - name: signed
    match: {{ path: /signed, methods: [POST] }}
    {upstream}
    auth: {{ signature: {{ algorithm: hmac-sha256, header: X-Signature, encoding: hex, signed_payload: [body], secret: {{ file: secret }} }} }}
    replay_protection: disabled
  - name: public
    match: {{ path: "/public/*", methods: [GET, POST] }}
    {upstream}
    auth: public
"""


def prepare(folder: pathlib.Path) -> TokenIssuer:
    issuer = TokenIssuer()
    (folder / "server.pem").write_bytes(Authority().issue()[0])
    (folder / "jwks.json").write_text(issuer.jwks())
    (folder / "secret").write_text(SECRET)
    return issuer


# --- the legitimate client --------------------------------------------------------------------------------------------------


class Good:
    """A sender at another address, whose requests are due a hundred times a second, regardless of the previous response."""

    def __init__(self, site: Site):
        self.stop, (self.results, theirs) = FORK.Event(), FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=good_client, args=(site, self.stop, theirs), daemon=True)
        self.process.start()

    def finish(self, begun: float, ended: float) -> tuple[int, int, float, float]:
        """Of the requests due in that time: their number, those answered 200, the median and 99th percentile in ms."""
        self.stop.set()
        rows = [row for row in self.results.recv() if begun <= row[0] < ended]
        self.process.join()
        times = sorted(taken for _, taken, _ in rows)
        good = sum(status == 200 for _, _, status in rows)
        return len(rows), good, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000


def good_client(site: Site, stop, results) -> None:
    rows, begun = [], time.monotonic()
    senders = [threading.Thread(target=good_sender, args=(site, index, begun, stop, rows)) for index in range(GOOD_CONNECTIONS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    results.send(rows)


def good_sender(site: Site, index: int, begun: float, stop, rows: list) -> None:
    wire, number = None, index
    while not stop.is_set():
        due = begun + number / GOOD_RATE
        time.sleep(max(0, due - time.monotonic()))
        try:
            wire = wire or Wire(site.port, GOOD_ADDRESS)
            status = good_request(wire, site.tokens[number % len(site.tokens)])
        except OSError:
            status = 0
        if status != 200:
            wire = None
        rows.append((due, time.monotonic() - due, status))
        number += GOOD_CONNECTIONS


def good_request(wire: Wire, token: str) -> int:
    end = time.monotonic() + 5
    wire.send(f"POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n{{}}".encode(), end)
    if not wire.wait_for(lambda: wire.received.endswith(b"\r\n\r\nok") or wire.received.endswith(b"}"), end):
        return 0
    status = int(re.match(rb"HTTP/1.1 (\d+)", wire.received)[1])
    wire.received.clear()
    return status


# --- key sets ---------------------------------------------------------------------------------------------------------


class KeyServer:
    """Serves each kind of key set by path; counts fetches and bytes across processes."""

    def __init__(self, issuer: TokenIssuer):
        self.port, self.fetches, self.bytes = free_port(), FORK.Value("l"), FORK.Value("l")
        self.process = FORK.Process(target=self.serve, args=(issuer,), daemon=True)
        self.process.start()
        until("the key server listens", lambda: accepts(self.port))

    def serve(self, issuer: TokenIssuer) -> None:
        one = issuer.jwks()
        thousands = {"keys": [{**json.loads(one)["keys"][0], "kid": f"key-{number}"} for number in range(2000)]}
        sets = {
            "/good": [one.encode()],
            "/thousands": [json.dumps(thousands).encode()],
            "/deep": [b'{"keys":' + b"[" * 400_000],
        }
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with server.fetches.get_lock():
                    server.fetches.value += 1
                self.send_response(200)
                self.end_headers()
                try:
                    for piece in sets.get(self.path) or forever(self.path):
                        self.wfile.write(piece)
                        with server.bytes.get_lock():
                            server.bytes.value += len(piece)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler).serve_forever()


def forever(path: str):
    yield b'{"keys":['
    while path == "/endless":
        yield b'{"kty":"EC"},' * 5000
    while True:
        time.sleep(0.2)
        yield b" "
