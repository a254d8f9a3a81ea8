"""End to end with clients, applications and proxies as they are installed: each client sends a signed body in each of its
ways, over plain HTTP and TLS, through each proxy, to each application.

    tests/real.sh [BINARY]            installs what is missing, and runs this

What is not installed is named and skipped, except with --all.
"""
import argparse
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

import fronts
from harness import PATIENCE, World, free_ports, get

HERE = pathlib.Path(__file__).parent / "real"
SECRET = "a secret of more than sixteen bytes"
BODY = json.dumps({"event": "order.paid", "text": "caf\u00e9 \U0001f600", "amount": 1.50}, ensure_ascii=False)
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()

PYTHON = sys.executable
# Program to look for; the command before the URL, the signature, the body and the file of the CA.
CLIENTS = {
    "Java": ("javac", ["java", HERE / "Sender.java"]),
    "Go": ("go", ["go", "run", HERE / "sender.go"]),
    "Node": ("node", ["node", HERE / "sender.mjs"]),
    "Python": (PYTHON, [PYTHON, HERE / "sender.py"]),
    "Ruby": ("ruby", ["ruby", HERE / "sender.rb"]),
    "PHP": ("php", ["php", HERE / "sender.php"]),
}
CURL = {
    "curl": [], "curl --http1.0": ["--http1.0"], "curl --http2": ["--http2"], "curl, chunked": ["-H", "Transfer-Encoding: chunked"],
    "curl, Expect": ["-H", "Expect: 100-continue"], "curl, two requests": ["--next"],
}
# Program, and the command before the port.
APPLICATIONS = {
    "uvicorn": (PYTHON, lambda port: [PYTHON, "-m", "uvicorn", "asgi:app", "--host", "127.0.0.1", "--port", port]),
    "gunicorn": (PYTHON, lambda port: [PYTHON, "-m", "gunicorn", "wsgi:application", "-b", f"127.0.0.1:{port}", "-k", "gthread"]),
    "Express": ("node", lambda port: ["node", "express.mjs", port]),
    "Puma": ("puma", lambda port: ["puma", "-b", f"tcp://127.0.0.1:{port}", "config.ru"]),
}


class Real(World):
    """Two listeners, and a route to each application."""

    def prepare(self):
        self.write("secret", SECRET)
        ports = free_ports(2 + len(APPLICATIONS))
        self.plain_port, self.front_port = ports[:2]
        self.applications = dict(zip(APPLICATIONS, ports[2:]))

    def environment(self):
        more = {"NODE_EXTRA_CA_CERTS": str(self.folder / "certs/ca.crt"), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "BODY": BODY}
        return super().environment() | more | {"HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def start_app(self):
        for name, port in self.applications.items():
            program, command = APPLICATIONS[name]
            if shutil.which(program):
                self.start([str(one) for one in command(str(port))], self.app_log, HERE, lambda port=port: get(port, "/docs"))

    def configuration(self):
        """JSON is YAML."""
        routes = [
            {"name": name, "match": {"path": f"/{name}"},
             "upstream": {"url": f"http://127.0.0.1:{port}"},
             "auth": {"preset": "github", "secret": {"file": "secret"}}}
            for name, port in self.applications.items()
        ]
        tls = {"certificates": [{"cert": "certs/server.crt", "key": "certs/server.key"}]}
        return json.dumps({
            "listeners": [
                {"address": f"127.0.0.1:{self.port}", "tls": tls},
                {"address": f"127.0.0.1:{self.plain_port}", "plaintext": True},
            ],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "trusted_proxies": ["127.0.0.0/8"],
            "routes": routes,
        }, indent=1)

    def front(self, name):
        """Starts a proxy; its port, once it serves and its health check has passed."""
        _, config, command = fronts.FRONTS[name]
        [port] = free_ports(1)
        values = {"FOLDER": self.folder, "FRONT": port, "GATEWAY": self.plain_port, "ADMIN": self.admin_port}
        for placeholder, value in values.items():
            config = config.replace(placeholder, str(value))
            command = [part.replace(placeholder, str(value)) for part in command]
        path = self.folder / f"{name}.yaml"
        path.write_text(config)
        serves = lambda: get(port, "/uvicorn").status_code == 401
        self.start([*command, str(path)], self.folder / f"{name}.log", self.folder, serves)
        return port

    def sends(self, client, url):
        """The lines of a client: a status and the way in which it has sent."""
        arguments = [url, SIGNATURE, BODY, str(self.folder / "certs/ca.crt")]
        if client == "curl":
            return self.curl(*arguments)
        done = self.client_process([str(part) for part in CLIENTS[client][1]] + arguments)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return [tuple(line.split(" ", 1)) for line in done.stdout.splitlines()]

    def curl(self, url, signature, body, ca):
        one = ["-s", "-o", os.devnull, "-w", "%{http_code}\n", "--cacert", ca, "-H", f"X-Hub-Signature-256: {signature}",
               "--data-binary", body]
        for name, options in CURL.items():
            twice = [*one, url] if "--next" in options else []
            done = self.client_process(["curl", *one, *options, url] if not twice else ["curl", *one, url, "--next", *twice])
            assert done.returncode == 0, f"{name}: {done.stderr}"
            yield from ((status, name) for status in done.stdout.split())

    def client_process(self, command):
        return subprocess.run(command, cwd=HERE, env=self.environment(), capture_output=True, text=True,
                              timeout=6 * PATIENCE)


def check(world, client, path, url):
    """Prints a line for the client; the number of its requests that were not served."""
    try:
        lines = list(world.sends(client, url))
        wrong = [f"{name}: {status}" for status, name in lines if status != "200"]
        assert lines, "it has sent nothing"
    except Exception:
        lines, wrong = [], [traceback.format_exc()]
    print(f"{'FAIL ' if wrong else 'ok   '} {client} {path}: {len(lines)} ways", *wrong, sep="\n      " if wrong else "", flush=True)
    return len(wrong), len(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True, help="the binary")
    parser.add_argument("--all", action="store_true", help="fail if a program is missing")
    options = parser.parse_args()
    wanted = {name: program for name, (program, *_) in (CLIENTS | APPLICATIONS | fronts.FRONTS).items()}
    missing = [name for name, program in (wanted | {"curl": "curl"}).items() if not shutil.which(program)]
    if missing:
        print("not installed:", ", ".join(missing))
    failed = total = 0
    with Real(options.hookgate) as world:
        clients = [name for name in ["curl", *CLIENTS] if name not in missing]
        plain, tls = f"http://127.0.0.1:{world.plain_port}", f"https://localhost:{world.port}"
        runs = [(client, where, f"{base}/uvicorn") for client in clients
                for where, base in [("over plain HTTP", plain), ("over TLS", tls)]]
        runs += [(client, f"to {name}", f"{plain}/{name}") for name in APPLICATIONS if name not in missing
                 for client in clients if name != "uvicorn"]
        for name in fronts.FRONTS:
            if name not in missing:
                port = world.front(name)
                runs += [(client, f"through {name}", f"http://127.0.0.1:{port}/uvicorn") for client in clients]
        for run in runs:
            wrong, ways = check(world, *run)
            failed, total = failed + wrong, total + ways
        if failed:
            print(*world.log().splitlines()[-10:], sep="\n")
    print(f"{total} requests, {failed} failed")
    return 1 if failed or (options.all and missing) else 0


if __name__ == "__main__":
    sys.exit(main())
