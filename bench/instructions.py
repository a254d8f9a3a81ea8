#!/usr/bin/env python3
"""Instructions per request, counted by Valgrind: the cost of a change on a machine where timing is too noisy.

    cargo build --release && python3 bench/instructions.py [GATEWAY]        (needs valgrind and PyJWT)

Each figure is the difference between two runs with different numbers of requests, so that the cost of the start cancels
out. Kernel, TLS and network are not included, and tokens are HS256, whose signature is cheap: the figure is hookgate's own
part, which costs the same on each machine. (Valgrind has no SHA instructions: each hash counts for more than it takes.)
Fails if a figure is more than a tenth above its baseline; if it is a tenth below, update the baseline to keep the gain.
"""

import argparse
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import jwt

# The baseline for a request of each kind, in user-space instructions.
WRITTEN = {"known": 70_000, "fresh": 104_600, "forged": 88_000}
LEEWAY = 0.10
FEW, MANY = 200, 1200
# A busy machine adds waits, each of some instructions, and never takes any away: the least of these runs counts.
REPEATS = 3
SECRET = "a-secret-of-more-than-thirty-two-bytes"
KINDS = {
    "known": "one token used repeatedly: its verified signature is cached",
    "fresh": "a new token each time, which is verified",
    "forged": "a signature that does not verify: rejected",
}
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gateway", nargs="?", default="target/release/hookgate")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("missing: valgrind")
    good = [token(number) for number in range(MANY)]
    tokens = {"known": good[:1] * MANY, "fresh": good, "forged": [one[:-8] + "AAAAAAAA" for one in good]}
    app = App()
    exceeded = False
    with tempfile.TemporaryDirectory() as folder:
        secret = pathlib.Path(folder) / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        for kind, what in KINDS.items():
            status = 401 if kind == "forged" else 200
            counted = [
                min(count(options.gateway, folder, app, tokens[kind][:some], status) for _ in range(REPEATS))
                for some in (FEW, MANY)
            ]
            figure, written = (counted[1] - counted[0]) / (MANY - FEW), WRITTEN[kind]
            change = figure / written - 1
            exceeded |= change > LEEWAY
            hint = ". Update the baseline in WRITTEN" if change < -LEEWAY else ""
            print(f"{kind:7} {figure:9,.0f} instructions, {change:+.1%} against {written:,}: {what}{hint}", flush=True)
    if exceeded:
        sys.exit(f"more than {LEEWAY:.0%} above the baseline")


def token(number: int) -> str:
    now = int(time.time())
    claims = {"iss": "https://issuer.test/", "aud": "orders", "exp": now + 3600, "iat": now, "jti": f"{number:08}"}
    return jwt.encode(claims | {"sub": "sender", "event_scope": "webhook"}, SECRET, "HS256")


def count(gateway: str, folder: str, app: "App", tokens: list[str], status: int) -> int:
    """Instructions of a gateway from its start to its end, with one request for each token."""
    port = free_port()
    config = pathlib.Path(folder) / "gateway.yaml"
    config.write_text(f"""
workers: 1
log: {{ access: false }}
drain: {{ delay: 0s }}
listeners: [{{ address: "127.0.0.1:{port}", plaintext: true }}]
issuers: {{ bench: {{ issuer: "https://issuer.test/", algorithms: [HS256], secret: {{ file: secret }} }} }}
routes:
  - name: orders
    match: {{ path: /orders }}
    upstream: {{ url: "http://127.0.0.1:{app.port}" }}
    auth: {{ jwt: {{ issuer: bench, audience: orders, claims: {{ event_scope: webhook }} }} }}
    replay_protection: disabled
""")
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", gateway, "run", "--config", str(config)]
    log = pathlib.Path(folder) / "log"
    with log.open("w") as out:
        proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=out)
    try:
        with connected(port, proxy) as stream:
            for one in tokens:
                ask(stream, one, status)
        proxy.terminate()
        proxy.wait(60)
    finally:
        proxy.kill()
        proxy.wait()
    told = log.read_text(errors="replace")
    found = re.search(r"Collected : (\d+)", told)
    if not found:
        raise SystemExit(f"no count:\n{told}")
    return int(found[1])


def connected(port: int, proxy: subprocess.Popen) -> socket.socket:
    end = time.monotonic() + 60
    while time.monotonic() < end and proxy.poll() is None:
        try:
            stream = socket.create_connection(("127.0.0.1", port), 60)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return stream
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise SystemExit("the gateway did not start")


def ask(stream: socket.socket, bearer: str, status: int) -> None:
    body = '{"event":"order.paid"}'
    stream.sendall(
        f"POST /orders HTTP/1.1\r\nHost: hooks.test\r\nUser-Agent: sender/1.0\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {bearer}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    got = b""
    while b"\r\n\r\n" not in got:
        got += stream.recv(65536) or lost()
    head, _, rest = got.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
    while len(rest) < length:
        rest += stream.recv(65536) or lost()
    if int(head.split()[1]) != status:
        raise SystemExit(f"answered {head.decode()}, not {status}")


def lost() -> bytes:
    raise SystemExit("the gateway has closed the connection")


class App:
    """The upstream: answers each request on a connection."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            stream, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream: socket.socket) -> None:
        with stream:
            got = b""
            while more := stream.recv(65536):
                got += more
                # The body is JSON, and its only closing brace is its last byte.
                if b"\r\n\r\n" in got and got.endswith(b"}"):
                    stream.sendall(RESPONSE)
                    got = b""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()
