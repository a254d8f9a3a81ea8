#!/usr/bin/env python3
"""Cost of a large configuration: `hookgate check`, the start until /readyz answers 200, and one reload.

    cargo build --release && python3 bench/config.py [GATEWAY...]        (needs Linux; several gateways are compared)

Two configurations: one of nearly 1 MiB, the largest that hookgate reads, with long texts in each route; and one of 3,000
short routes. Routes alternate between the preset github, an HMAC signature and a JWT of one shared issuer. Each run starts
a fresh process, and runs of the gateways are interleaved. The reload is that of a changed file: its time includes the wait
for further changes (100 ms). CPU is user and system time; memory is resident memory, and of the reload what has been added
to it when the process is idle again.
"""

import argparse
import http.client
import os
import pathlib
import re
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import time

SECRET = "a-secret-of-more-than-thirty-two-bytes"
LARGEST = 1 << 20
ROUTES = 3000
# Replaced by the reload; the same length, so that the size of the file stays.
LIMIT, CHANGED = "max_body_size: 1MiB", "max_body_size: 2MiB"
APPLIED = re.compile(r'^hookgate_config_reloads_total\{result="applied"\} (\d+)$', re.MULTILINE)
PATIENCE = 60
FIGURES = {
    "check": ("ms", "user ms", "CPU ms", "peak MiB"),
    "start": ("ms", "CPU ms", "peak MiB", "MiB"),
    "reload": ("ms", "CPU ms", "more MiB"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gateways", nargs="*", default=["target/release/hookgate"], metavar="GATEWAY")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    gateways = list(dict.fromkeys(str(pathlib.Path(one).resolve()) for one in options.gateways))
    configurations = {"1 MiB": long_texts(), f"{ROUTES:,} routes": short_routes()}
    measured: dict[tuple[str, str], list[dict]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "active"
        folder.mkdir()
        (folder / "secret").write_text(SECRET)
        for what, text in configurations.items():
            for _ in range(options.runs):
                for gateway in gateways:
                    measured.setdefault((what, gateway), []).append(measure(gateway, folder, text))
    print(table(measured, configurations))


def table(measured: dict[tuple[str, str], list[dict]], configurations: dict[str, str]) -> str:
    """Medians as Markdown."""
    titles = [f"{part}: {unit}" for part, units in FIGURES.items() for unit in units]
    lines = [f"| configuration | gateway | {' | '.join(titles)} |", "|---" * (len(titles) + 2) + "|"]
    for (what, gateway), runs in measured.items():
        text = configurations[what]
        medians = [statistics.median(run[part][at] for run in runs) for part in FIGURES for at in range(len(FIGURES[part]))]
        about = f"{what} ({text.count('- name:'):,} routes, {len(text.encode()) / 1024:,.0f} KiB)"
        lines.append(f"| {about} | {short(gateway)} | {' | '.join(f'{one:.1f}' for one in medians)} |")
    return "\n".join(lines)


def short(gateway: str) -> str:
    return "/".join(pathlib.Path(gateway).parts[-2:])


# The configurations


def top(port: str = "PORT", admin: str = "ADMIN") -> str:
    return f"""\
workers: 1
log: {{ access: false }}
drain: {{ delay: 0s }}
listeners: [ {{ address: "127.0.0.1:{port}", plaintext: true }} ]
admin: {{ address: "127.0.0.1:{admin}" }}
issuers:
  bench: {{ issuer: "https://issuer.test/", algorithms: [HS256], secret: {{ file: secret }} }}
routes:
"""


def schemes(number: int) -> str:
    """The scheme of a route; every third is the same."""
    return (
        "preset: github, secret: { file: secret }",
        "signature: { algorithm: hmac-sha256, header: X-Signature, encoding: hex, signed_payload: [body], secret: { file: secret } }",
        f"jwt: {{ issuer: bench, audience: orders-{number} }}",
    )[number % 3]


def short_routes() -> str:
    return top() + "".join(short_route(number) for number in range(ROUTES))


def short_route(number: int) -> str:
    replay = "    replay_protection: disabled\n" if number % 3 == 2 else ""
    return f"""\
  - name: route-{number}
    match: {{ path: /hooks/{number}, methods: [POST] }}
    upstream: {{ url: "http://127.0.0.1:8000" }}
    auth: {{ {schemes(number)} }}
{replay}    limits: {{ {LIMIT} }}
"""


def long_texts() -> str:
    """As many routes as fit into the largest file."""
    text, size, number = [top()], len(top()), 0
    while True:
        route = long_route(number)
        # The ports are one digit longer than their placeholder at most.
        if size + len(route) + 8 > LARGEST:
            return "".join(text)
        text.append(route)
        size, number = size + len(route), number + 1


def long_route(number: int) -> str:
    """About 2 KiB, most of it in lists of strings."""
    networks = ", ".join(f"10.{number % 250}.{one}.0/24" for one in range(40))
    path = "/".join(f"{word}-of-customer-{number}" for word in ("accounts", "departments", "deliveries", "notifications"))
    scheme, replay = schemes(number), ""
    if number % 3 == 2:
        audiences = ", ".join(f'"https://hooks-{one}.customer-{number}.example.com/{path}"' for one in range(4))
        groups = ", ".join(f"group-{one}-of-customer-{number}-in-the-directory" for one in range(10))
        claims = f'claims: {{ group: {{ one_of: [{groups}] }}, tenant: "customer-{number}" }}'
        scheme, replay = f"jwt: {{ issuer: bench, audience: [{audiences}], {claims} }}", "    replay_protection: disabled\n"
    return f"""\
  # Deliveries of customer {number}: see the handbook of the operators before changing the addresses of this route.
  - name: route-of-customer-{number}
    match:
      path: /{path}
      host: customer-{number}.hooks.example.com
      methods: [POST, PUT]
    upstream:
      url: "http://127.0.0.1:8000"
      timeouts: {{ total: 30s, connect: 5s, keepalive: 4s }}
    auth: {{ {scheme} }}
{replay}    allowed_ips: [{networks}]
    limits: {{ {LIMIT}, rate: 100/s, burst: 200, concurrency: 256 }}
    public_url: "https://customer-{number}.hooks.example.com"
"""


# The measurements


def measure(gateway: str, folder: pathlib.Path, text: str) -> dict:
    port, admin = free_port(), free_port()
    text = text.replace("PORT", str(port), 1).replace("ADMIN", str(admin), 1)
    (folder / "gateway.yaml").write_text(text)
    figures = {"check": check(gateway, folder)}
    begin = time.monotonic()
    log_file = folder.parent / "log"
    with log_file.open("w") as log:
        process = subprocess.Popen([gateway, "run", "gateway.yaml"], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until("it is ready", lambda: request(admin, "/readyz")[0] == 200, process)
        figures["start"] = ((time.monotonic() - begin) * 1000, cpu_ms(process), peak_mib(process), resident_mib(process))
        figures["reload"] = reload(process, folder, admin, text.replace(LIMIT, CHANGED))
    except RuntimeError as error:
        raise SystemExit(f"{gateway}: {error}:\n{log_file.read_text()[-1000:]}") from None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return figures


def check(gateway: str, folder: pathlib.Path) -> tuple[float, float, float, float]:
    begin = time.monotonic()
    process = subprocess.Popen([gateway, "check", "gateway.yaml"], cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{gateway} rejects the configuration:\n{said[:1000]}")
    took = (time.monotonic() - begin) * 1000
    return took, used.ru_utime * 1000, (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss / 1024


def reload(process: subprocess.Popen, folder: pathlib.Path, admin: int, text: str) -> tuple[float, float, float]:
    """Changes the file, and waits until the metric of applied reloads rises."""
    applied = lambda: int(APPLIED.search(request(admin, "/metrics")[1])[1])
    count = applied()
    settled(process)
    before, memory, begin = cpu_ms(process), resident_mib(process), time.monotonic()
    # Written elsewhere, so that the gateway notices one change.
    (folder.parent / "new").write_text(text)
    (folder.parent / "new").rename(folder / "gateway.yaml")
    until("the reload is applied", lambda: applied() > count, process)
    took = (time.monotonic() - begin) * 1000
    settled(process)
    return took, cpu_ms(process) - before, resident_mib(process) - memory


def settled(process: subprocess.Popen) -> None:
    """Waits until the process has been idle for 0.2 s: the old configuration is dropped after the new one is active."""
    last, since = cpu_ms(process), time.monotonic()
    while time.monotonic() - since < 0.2:
        time.sleep(0.02)
        if (now := cpu_ms(process)) > last:
            last, since = now, time.monotonic()


def cpu_ms(process: subprocess.Popen) -> float:
    """User and system CPU of all threads, also ended ones: the clock that clock_getcpuclockid gives for the process."""
    return time.clock_gettime(~process.pid << 3 | 2) * 1000


def resident_mib(process: subprocess.Popen) -> float:
    pages = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def peak_mib(process: subprocess.Popen) -> float:
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def until(what: str, holds, process: subprocess.Popen) -> None:
    """Asks every 10 ms."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode} before {what}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.01)


def request(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()
