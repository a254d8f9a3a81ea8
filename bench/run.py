#!/usr/bin/env python3
"""Measures hookgate and its peers, interleaved, and prints tables. bench/README.md has the method and its limits.

    bench/setup.sh && python3 bench/run.py
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time

import peers
from peers import BUILD, DEFAULT, DIR, TOKENS, Peer, Run, answers, free_port
from tables import WHAT, tables

# Options of the generator; {good} and {bad} are files of tokens, {order} is `once` where each token is accepted only once.
WORKLOADS = {
    "W1": "--connections 64 --tokens {good} --order first",
    "W2": "--connections 64 --tokens {good} --order {order}",
    "W3": "--connections 32 --tokens {good} --order first --new --sources 40",
    "W4": "--connections 64 --tokens {bad} --order rotate --expect 401 --sources 40",
    "W5": "--connections 16 --tokens {good} --order first --body 1048576",
    "W6": "--connections 64 --tokens {good} --order {order} --rate 500",
    "W7": "--connections 10000 --tokens {good} --order first --idle 4 --sources 40",
}
REJECTED = ("bad", "expired", "audience", "issuer", "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=",".join(DEFAULT), help="NAME-2 is a peer with two workers")
    parser.add_argument("--workloads", default=",".join(WHAT))
    parser.add_argument("--algorithms", help="rs256,es256; else rs256, and both in W2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--warm", type=float, default=1.5)
    parser.add_argument("--out", type=pathlib.Path, default=DIR / time.strftime("results/%Y%m%d-%H%M%S.jsonl"))
    parser.add_argument("--check", action="store_true", help="only check that each peer accepts and rejects the right tokens")
    parser.add_argument("--table", nargs="+", metavar="FILE", help="only print the tables of these results")
    options = parser.parse_args()
    if options.table:
        print(tables([json.loads(line) for file in options.table for line in pathlib.Path(file).open()]))
        return
    names = options.peers.split(",")
    for name in names:
        peers.find(name)
    if unknown := [one for one in options.workloads.split(",") if one not in WORKLOADS]:
        raise SystemExit(f"no such workload: {', '.join(unknown)}")
    allow_open_files()
    # Exits through `finally`, which stops the child processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    app_port = free_port()
    app = start([str(BUILD / "app"), f"127.0.0.1:{app_port}"], cores(1)[1], DIR / "log/app.log")
    try:
        if not answers(app_port, app):
            raise SystemExit("the upstream did not start; was bench/setup.sh run?")
        if options.check:
            sys.exit(0 if all([check(name, app_port) for name in names if name != "direct"]) else 1)
        measure_all(names, options, app, app_port)
    finally:
        stop(app)


def measure_all(names: list[str], options: argparse.Namespace, app: subprocess.Popen, app_port: int) -> None:
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"about": about(options)}]
    with options.out.open("a") as out:
        out.write(json.dumps(rows[0]) + "\n")
        for workload in options.workloads.split(","):
            default = "rs256,es256" if workload == "W2" else "rs256"
            for algorithm in (options.algorithms or default).split(","):
                for run in range(options.repeats):
                    for name in names:
                        if workload not in peers.find(name)[0].workloads:
                            continue
                        row = {"peer": name, "workload": workload, "algorithm": algorithm, "run": run}
                        row |= measure(name, workload, algorithm, options, app, app_port)
                        rows.append(row)
                        out.write(json.dumps(row) + "\n")
                        out.flush()
                        print(f"{workload} {algorithm} {run} {name:20} {summary(row)}", flush=True)
    print(f"\n{tables(rows)}\n\nWritten to {options.out}")


def measure(
    name: str, workload: str, algorithm: str, options: argparse.Namespace, app: subprocess.Popen, app_port: int
) -> dict:
    """One run of a fresh proxy: the figures of the generator, or a `failure`."""
    peer, workers = peers.find(name)
    arguments = WORKLOADS[workload].format(
        good=TOKENS / f"{algorithm}-good.txt",
        bad=TOKENS / f"{algorithm}-bad.txt",
        order="once" if peer.workloads == peers.FRESH_TOKENS else "rotate",
    )
    command = [str(BUILD / "load"), "--warm", str(options.warm), "--seconds", str(options.seconds), "--app", str(app.pid)]
    proxy, port, more = None, app_port, ["--plain"]
    before = processor_time()
    try:
        if name != "direct":
            proxy, port = start_peer(name, peer, workers, app_port)
            more = ["--proxy", str(proxy.pid)]
        command += ["--address", f"127.0.0.1:{port}", *shlex.split(arguments), *more]
        pinned = ["taskset", "-c", cores(workers)[1], *command]
        done = subprocess.run(pinned, capture_output=True, text=True, timeout=240, preexec_fn=go_ahead)
        row = json.loads(done.stdout) if done.returncode == 0 else {"failure": done.stderr.strip()[-200:]}
        if row.get("responses") == 0:
            row = {"failure": "no responses"}
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        row = {"failure": str(error)[-200:]}
    finally:
        if proxy:
            stop(proxy)
    total, stolen = (now - then for now, then in zip(processor_time(), before))
    return row | {"steal": round(stolen / max(1, total), 4), "load": os.getloadavg()[0]}


def check(name: str, app_port: int) -> bool:
    """Checks correctness first: good tokens are accepted, others rejected; a repeated one passes only without replay protection."""
    peer, workers = peers.find(name)
    got = {}
    try:
        proxy, port = start_peer(name, peer, workers, app_port)
    except OSError as error:
        print(f"{name:22} WRONG: {error}", flush=True)
        return False
    try:
        for algorithm in ("rs256", "es256"):
            for kind in ("good", *REJECTED):
                token = (TOKENS / f"{algorithm}-{kind}.txt").open().readline().strip() if kind != "none" else ""
                got[f"{algorithm} {kind}"] = ask(port, token)
            token = (TOKENS / f"{algorithm}-good.txt").open().readline().strip()
            got[f"{algorithm} again"] = ask(port, token)
    except OSError as error:
        got["error"] = str(error)
    finally:
        stop(proxy)
    rejected = (401, 403) if peer.verifies else (200,)
    again = (409,) if peer.workloads == peers.FRESH_TOKENS else (200,)
    expected = {"good": (200,), "again": again} | dict.fromkeys(REJECTED, rejected)
    wrong = {what: status for what, status in got.items() if status not in expected.get(what.split()[-1], ())}
    print(f"{name:22} {f'WRONG: {wrong}' if wrong else 'as expected'}", flush=True)
    return not wrong


def ask(port: int, token: str) -> int:
    """The status of a request over a new TLS 1.3 connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname="localhost") as stream:
        head = "POST /api/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n"
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        stream.sendall(f"{head}{bearer}\r\n{{}}".encode())
        words = stream.recv(200).split(b" ")
        return int(words[1]) if len(words) > 1 else 0


def start_peer(name: str, peer: Peer, workers: int, app_port: int) -> tuple[subprocess.Popen, int]:
    folder = DIR / "run" / name
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(free_port(), app_port, workers, folder)
    log = DIR / f"log/{name}.log"
    proxy = start(peer.command(run), cores(workers)[0], log, peer.environment)
    if not answers(run.port, proxy):
        stop(proxy)
        raise OSError(f"did not start: {log.read_text(errors='replace').strip()[-150:]}")
    time.sleep(0.3)
    return proxy, run.port


def start(command: list[str], on: str, log: pathlib.Path, environment: dict[str, str] | None = None) -> subprocess.Popen:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        return subprocess.Popen(
            ["taskset", "-c", on, *command],
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=go_ahead,
        )


def stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            # Kills the session that the process leads.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    time.sleep(0.2)


def cores(workers: int) -> tuple[str, str]:
    """Cores for the proxy, and for generator and upstream. On two cores, two workers share them with generator and upstream."""
    if workers == 1:
        return "0", "1"
    return ("0,1", "2,3") if (os.cpu_count() or 1) >= 4 else ("0,1", "0,1")


def go_ahead() -> None:
    """Starts a session and, if permitted, raises its priority; niceness counts only within an autogroup."""
    os.setsid()
    try:
        pathlib.Path("/proc/self/autogroup").write_text("-10")
        os.nice(-10)
    except OSError:
        pass


def allow_open_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(60000, most) if most != resource.RLIM_INFINITY else 60000
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


def processor_time() -> tuple[int, int]:
    """Total and stolen processor time of the machine, in ticks."""
    ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[7]


def about(options: argparse.Namespace) -> str:
    information = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in information.splitlines() if line.startswith("model name")), "?")
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {model}, Linux {platform.release()}; {peers.versions()}; "
        f"{options.repeats} runs of {options.seconds:g} s."
    )


def summary(row: dict) -> str:
    if "failure" in row:
        return f"FAILED: {row['failure']}"
    wrong = f"wrong or failed {row['unexpected'] + row['failed']:.0f}"
    if row["workload"] == "W7":
        return f"{row['kib_each']:8.1f} KiB each, {row['connections']:.0f} connections, {wrong}"
    short = f", tokens used up after {row['seconds']:.1f} s" if row["tokens_used_up"] else ""
    return (
        f"{row['cpu_us']:8.1f} µs {row['per_second']:8.0f}/s p50 {row['p50_us'] / 1000:.2f} ms p99 {row['p99_us'] / 1000:.2f} ms, "
        f"{wrong}{short}"
    )


if __name__ == "__main__":
    main()
