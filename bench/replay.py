#!/usr/bin/env python3
"""Cost of each store of replay ids: requests a second, latency and CPU of the gateway, by wrk over loopback.

    cargo build --release && python3 bench/replay.py        (needs wrk, nginx and redis-server)

Each request is new: an HMAC over its id and body, as most webhook senders sign. The upstream is nginx, which answers 200.
"""

import argparse
import hashlib
import hmac
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

SECRET = "a-secret-of-more-than-sixteen-bytes"
BODY = '{"event":"order.paid","id":1234567890}'
LUA = """
local at, step = 0, 1
function setup(thread) counter = (counter or 0) + 1; thread:set("number", counter); end
function init(args) lines = {}; local n = 0
  for line in io.lines(args[1]) do n = n + 1; if n % tonumber(args[2]) == number - 1 then lines[#lines + 1] = line end end end
function request() at = at + 1; local line = lines[at]; if not line then wrk.thread:stop(); line = lines[1] end
  local id, signature = line:match("(%S+) (%S+)")
  return wrk.format("POST", "/webhook", {["X-Id"] = id, ["X-Signature"] = signature, ["Host"] = "hooks.test"}, BODY) end
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port: int) -> None:
    for _ in range(500):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise SystemExit(f"nothing answers on port {port}")


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def signed(run: str, count: int, path: pathlib.Path) -> None:
    with path.open("w") as file:
        for number in range(count):
            one = f"{run}-{number}"
            mac = hmac.new(SECRET.encode(), f"{one}.{BODY}".encode(), hashlib.sha256).hexdigest()
            file.write(f"{one} {mac}\n")


def configuration(port: int, app: int, state: str) -> str:
    replay = "replay_protection: { id: { header: X-Id }, ttl: 1h }" if state else "replay_protection: disabled"
    return f"""
workers: 1
log: {{ access: false }}
{f"store: {state}" if state else ""}
listeners:
  - address: "127.0.0.1:{port}"
    plaintext: true
routes:
  - name: webhook
    match: {{ path: /webhook, methods: [POST] }}
    upstream: {{ url: "http://127.0.0.1:{app}" }}
    auth: {{ signature: {{ algorithm: hmac-sha256, header: X-Signature, encoding: hex, signed_payload: [header:X-Id, body],
                           join: ".", secret: {{ file: secret }} }} }}
    {replay}
"""


def measure(name: str, state: str, args: argparse.Namespace, folder: pathlib.Path, app: int) -> None:
    port = free_port()
    (folder / "secret").write_text(SECRET)
    (folder / "gateway.yaml").write_text(configuration(port, app, state))
    signed(name.replace(" ", "-"), args.requests, folder / "ids")
    (folder / "replay.lua").write_text(f"BODY = '{BODY}'\n{LUA}")
    gateway = subprocess.Popen([args.hookgate, "run", "--config", str(folder / "gateway.yaml")], stdout=subprocess.DEVNULL)
    try:
        answers(port)
        before = cpu_seconds(gateway.pid)
        wrk = ["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s", "--latency", "-s", str(folder / "replay.lua")]
        run = subprocess.run([*wrk, f"http://127.0.0.1:{port}", "--", str(folder / "ids"), "1"], capture_output=True, text=True, check=True)
        used = cpu_seconds(gateway.pid) - before
    finally:
        gateway.kill()
        gateway.wait()
    done = int(re.search(r"(\d+) requests in", run.stdout)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)[1])
    median, slow = (re.search(rf"{part}%\s+(\S+)", run.stdout)[1] for part in (50, 99))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", run.stdout)
    print(f"{name:<22}{rate:>10.0f}{median:>11}{slow:>11}{used / done * 1e6:>12.1f}   {bad[1] + ' not 2xx' if bad else ''}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hookgate", default="target/release/hookgate")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=200_000)
    args = parser.parse_args()
    for tool in ("wrk", "nginx", "redis-server"):
        if not shutil.which(tool):
            raise SystemExit(f"missing: {tool}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        app, store = free_port(), free_port()
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log /dev/null; worker_processes 1; events {{}}\n"
            f"http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder};\n"
            f"  server {{ listen 127.0.0.1:{app}; location / {{ return 200 'ok'; }} }} }}\n"
        )
        nginx = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        redis = subprocess.Popen(["redis-server", "--port", str(store), "--save", "", "--dir", name], stdout=subprocess.DEVNULL)
        try:
            answers(app)
            answers(store)
            print(f"{'store':<22}{'requests/s':>10}{'p50':>11}{'p99':>11}{'CPU µs each':>12}")
            measure("none (replay_protection: disabled)", "", args, folder, app)
            measure("memory", "{ type: memory }", args, folder, app)
            measure("embedded interval", "{ type: embedded, path: interval.db, durability: interval }", args, folder, app)
            measure("embedded sync", "{ type: embedded, path: sync.db }", args, folder, app)
            measure("redis", f'{{ type: redis, url: "redis://127.0.0.1:{store}" }}', args, folder, app)
        finally:
            nginx.terminate()
            redis.terminate()


if __name__ == "__main__":
    main()
