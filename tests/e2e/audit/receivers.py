"""Audits public webhook receivers on 127.0.0.1, and compares the findings with receivers.yaml.

    apt-get install --no-install-recommends webhook=2.8.0-4+b6 nodejs npm
    python3 -m venv target/receivers/python
    target/receivers/python/bin/pip install github-webhook==1.0.4 Flask==3.1.3 Werkzeug==3.1.9 gidgethub==6.0.0 \
        aiohttp==3.14.5
    npm install --prefix target/receivers/node --ignore-scripts @octokit/webhooks@14.2.0
    target/venv/bin/python tests/e2e/audit/receivers.py --hookgate BINARY [--folder FOLDER] [ENDPOINT ...]

What is not installed is named on standard error and left out.
"""
import argparse
import hashlib
import hmac
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid

import yaml
from gallery import DEPTHS, HERE, PATH, harness, message, replaced

DECLARED = yaml.safe_load((HERE / "receivers.yaml").read_text())
ROOT = HERE.parents[2]
SECRET = "receivers-0123456789abcdef0123456789abcdef"

# A push, as GitHub sends it: compact, signed twice.
PUSH = json.dumps({
    "ref": "refs/heads/master", "before": "0" * 40, "after": "1" * 40, "head_commit": {"id": "1" * 40}, "commits": [],
    "repository": {"name": "hello", "full_name": "octocat/hello", "owner": {"name": "octocat", "login": "octocat"}},
    "pusher": {"name": "octocat", "email": "octocat@example.com"}, "sender": {"login": "octocat"},
}, separators=(",", ":")).encode()

# The route of a sender that signs with SHA-1 alone.
OLDER = {
    "algorithm": "hmac-sha1", "encoding": "hex", "header": "X-Hub-Signature", "parse": {"prefix": "sha1="},
    "secret": {"file": "secret"}, "signed_payload": ["body"],
}


def event_headers():
    return {"X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid.uuid4())}


def genuine_headers():
    mac = lambda algorithm: hmac.new(SECRET.encode(), PUSH, algorithm).hexdigest()
    return {
        "User-Agent": "GitHub-Hookshot/044aadd", "Content-Type": "application/json", **event_headers(),
        "X-GitHub-Hook-ID": "292430182", "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-Hub-Signature": "sha1=" + mac(hashlib.sha1), "X-Hub-Signature-256": "sha256=" + mac(hashlib.sha256),
    }


class Receivers:
    """The receivers that are installed, and a folder with the files that an audit is given."""

    def __init__(self, installed):
        self.python, self.node = installed / "python/bin/python", installed / "node"
        self.missing = {name: lack for name, app in DECLARED["apps"].items() if (lack := self.lacks(app))}
        self.apps = {name: app for name, app in DECLARED["apps"].items() if name not in self.missing}
        self.ports, self.processes = dict(zip(self.apps, harness.free_ports(len(self.apps)))), []

    def lacks(self, app):
        """The first thing that the receiver needs and that is not there."""
        program, module, package = app.get("program"), app.get("module"), app.get("package")
        if program and not shutil.which(program, path=PATH):
            return program
        if module and not (self.python.exists() and self.imports(module)):
            return module
        if package and not (shutil.which("node", path=PATH) and (self.node / "node_modules" / package).exists()):
            return package
        return None

    def imports(self, module):
        return subprocess.run([self.python, "-c", f"import {module}"], capture_output=True).returncode == 0

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hookgate-receivers-"))
        try:
            self.write("secret", SECRET)
            self.write("push.json", PUSH.decode())
            for name in self.apps:
                self.start(name)
            for name, process in zip(self.apps, self.processes):
                self.wait(name, process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def start(self, name):
        app = self.apps[name]
        names = {"PORT": self.ports[name], "FOLDER": self.folder, "PYTHON": self.python, "SECRET": SECRET}
        for file, text in app.get("files", {}).items():
            self.write(file, replaced(text, names))
        command = replaced(app["command"], {**names, "CODE": replaced(app.get("code", ""), names)})
        # node finds packages from the current folder.
        current = self.node if "package" in app else self.folder
        environment = {"PATH": PATH, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        with open(self.log(name), "wb") as log:
            self.processes.append(subprocess.Popen(command, cwd=current, env=environment, stdout=log, stderr=log))

    def log(self, name):
        return self.folder / f"{name}.log"

    def wait(self, name, process):
        harness.until(f"{name} listens", lambda: process.poll() is not None or is_listening(self.ports[name]))
        assert process.poll() is None, f"{name} ended with {process.returncode}\n{self.log(name).read_text()}"

    def audit(self, hookgate, endpoint, depth):
        """The ids of the findings, or how the audit failed."""
        url, report = f"http://127.0.0.1:{self.ports[endpoint['app']]}{endpoint['path']}", self.folder / "report.json"
        report.unlink(missing_ok=True)
        always = ["--i-own-this", "--allow-side-effects", "--allow-private-address", "--rate", "200", "--timeout", "5"]
        command = [hookgate, "audit", url, *always, "--json", str(report), *self.given(endpoint, depth)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode not in (0, 2) or not report.exists():
            return None, f"exit code {done.returncode}: {done.stderr.strip()}"
        return {finding["rule"] for finding in json.loads(report.read_text())["findings"]}, None

    def given(self, endpoint, depth):
        """The arguments that give an audit its depth."""
        if depth == "blind":
            return []
        if depth == "captured":
            file = self.folder / "captured.http"
            file.write_bytes(message(endpoint, genuine_headers(), PUSH))
            return ["--request", str(file)]
        options = [f"--header={name}: {value}" for name, value in event_headers().items()]
        options += ["--body", str(self.folder / "push.json")]
        if endpoint["scheme"] == "sha256":
            return [*options, "--preset", "github", "--secret", str(self.folder / "secret")]
        route = {
            "name": "older", "match": {"path": endpoint["path"]}, "upstream": {"url": "http://127.0.0.1:9"},
            "auth": {"signature": OLDER}, "replay_protection": "disabled",
        }
        listeners = [{"address": "127.0.0.1:8", "plaintext": True}]
        file = self.write("older.yaml", json.dumps({"listeners": listeners, "routes": [route]}))
        return [*options, "--config", str(file)]


def is_listening(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def of_depth(rules, depth):
    """The rules of a depth and of those below it."""
    below = DEPTHS[: DEPTHS.index(depth) + 1] + [f"{depth}-alone"]
    return {rule for each in below for rule in (rules or {}).get(each, [])}


def compare(endpoint, depth, found):
    """The findings that are false, lost and missed."""
    expected, missed, allowed = (of_depth(endpoint.get(key), depth) for key in ["expected", "missed", "allowed"])
    return {"FALSE": found - expected - missed - allowed, "LOST": expected - found, "missed": missed - expected - found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True, help="the binary")
    parser.add_argument("--folder", default=ROOT / "target/receivers", type=pathlib.Path, help="with python/ and node/")
    names = [endpoint["name"] for endpoint in DECLARED["endpoints"]]
    parser.add_argument("endpoints", nargs="*", metavar="ENDPOINT", help=f"{', '.join(names)} [default: all]")
    arguments = parser.parse_args()
    if unknown := set(arguments.endpoints) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    hookgate, failed, audits = str(pathlib.Path(arguments.hookgate).resolve()), 0, 0
    with Receivers(arguments.folder.absolute()) as receivers:
        for name, need in receivers.missing.items():
            print(f"left out: {name}, since {need} is not installed", file=sys.stderr)
        for endpoint in DECLARED["endpoints"]:
            is_named = not arguments.endpoints or endpoint["name"] in arguments.endpoints
            for depth in DEPTHS if is_named and endpoint["app"] in receivers.apps else []:
                found, failure = receivers.audit(hookgate, endpoint, depth)
                results = {"FAILED": [failure]} if failure else compare(endpoint, depth, found)
                audits, failed = audits + 1, failed + any(results.get(key) for key in ["FAILED", "FALSE", "LOST"])
                texts = [f"{key}: {' '.join(sorted(rules))}" for key, rules in results.items() if rules]
                print(f"{endpoint['name']} {depth}: {'; '.join(texts) or 'as expected'}", flush=True)
    print(f"{audits} audits, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
