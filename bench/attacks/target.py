"""The target of the floods: routes of each kind under the default limits, and a server of key sets."""

import http.server
import json
import multiprocessing
import pathlib
import time
from dataclasses import dataclass
from typing import Callable

from senders import SECRET, WHSEC
from world import AUDIENCE, ISSUER, Authority, TokenIssuer, accepts, free_port, until

# A forked process inherits the keys, tokens and ports of its parent.
FORK = multiprocessing.get_context("fork")
CHALLENGED = ("zoom", "x", "dropbox")


@dataclass
class Site:
    port: int
    admin: int
    tokens: list[str]
    # Of the attackers, by their number.
    place: Callable[[int], str] | None = None


def configuration(site: Site, attack, app: int, keys: int) -> str:
    upstream = f'upstream: {{ url: "http://127.0.0.1:{app}", timeouts: {{ total: {attack.timeout} }} }}'
    often = ", refresh_interval: 1s, cooldown: 1s" if attack.jwks != "good" else ", cooldown: 5s"
    jwt = f"jwt: {{ issuer: ISSUER, audience: {AUDIENCE}"
    listeners = "".join(f"""
  - address: "{address}:{site.port}"
    tls: {{ certificates: [ {{ cert: server.pem, key: server.pem }} ] }}
    limits: {{ {attack.limits} }}
    timeouts: {{ {attack.timeouts} }}""" for address in ("127.0.0.1", "[::1]"))
    presets = "".join(f"""
  - name: {name}
    match: {{ path: /{name}, methods: [GET, POST] }}
    {upstream}
    auth: {{ preset: {name}, secret: {{ file: secret-{name} }}, challenge: true }}""" for name in CHALLENGED)
    return f"""
listeners: {listeners}
admin: {{ address: "127.0.0.1:{site.admin}" }}
store: {{ type: memory }}
issuers:
  local: {{ issuer: "{ISSUER}", algorithms: [ES256], jwks: {{ file: jwks.json }} }}
  remote: {{ issuer: "{ISSUER}", algorithms: [ES256], jwks: {{ url: "http://127.0.0.1:{keys}/{attack.jwks}"{often} }} }}
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
  - name: hooks
    match: {{ path: /hooks, methods: [POST] }}
    {upstream}
    auth: {{ preset: standard-webhooks, secret: {{ file: whsec }} }}
    replay_protection: {{ ttl: 1h }}{presets}
"""


def prepare(folder: pathlib.Path) -> TokenIssuer:
    issuer = TokenIssuer()
    (folder / "server.pem").write_bytes(Authority().issue()[0])
    (folder / "jwks.json").write_text(issuer.jwks())
    (folder / "secret").write_text(SECRET)
    (folder / "whsec").write_text(WHSEC)
    for name in CHALLENGED:
        (folder / f"secret-{name}").write_text(SECRET + name)
    return issuer


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
