"""Processes, files and keys of the end-to-end tests."""
import contextlib
import json
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://issuer.test/", "https://hooks.test/webhook"
PATIENCE = 20  # seconds; reaching it is a failure, never a pause
SECRET = "0123456789abcdef0123456789abcdef"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, condition):
    """Looks again and again until it is so."""
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(httpx.TransportError):
            value = condition()
            if value:
                return value
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.02)


class Issuer:
    """Keys of three kinds; tokens by PyJWT."""

    def __init__(self):
        self.keys = {
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        }

    def jwks(self, generation="1"):
        keys = []
        for name, key in self.keys.items():
            jwk = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
            keys.append({**jwk, "kid": name + generation, "alg": name, "use": "sig"})
        return json.dumps({"keys": keys})

    def token(self, algorithm="RS256", generation="1", headers=None, key=None, **changes):
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "shop-42", "event_scope": "webhook",
            "iat": now, "nbf": now, "exp": now + 300, **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": algorithm + generation, **(headers or {})}
        return jwt.encode(claims, key or self.keys[algorithm], algorithm=algorithm, headers=headers)


class World:
    """A folder, uvicorn with the weak app, and the gateway before it."""

    def __init__(self, hookgate):
        self.hookgate = str(pathlib.Path(hookgate).resolve())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hookgate-e2e-"))
        self.seen_file, self.log_file = self.folder / "seen.jsonl", self.folder / "gateway.log"
        self.seen_file.touch()
        self.port, self.admin_port, self.app_port = free_port(), free_port(), free_port()
        self.issuer, self.tokens, self.processes = Issuer(), [], []

    def __enter__(self):
        try:
            self.run("certs", "--dir", "certs")
            self.write("jwks.json", self.issuer.jwks())
            self.write("gateway.yaml", self.configuration())
            self.start_app()
            self.start_gateway()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def configuration(self):
        return f"""
drain: {{ delay: 1s, timeout: 10s }}
listeners:
  - address: "127.0.0.1:{self.port}"
    tls: {{ certificates: [ {{ cert: certs/server.crt, key: certs/server.key }} ] }}
admin: {{ address: "127.0.0.1:{self.admin_port}" }}
issuers:
  test: {{ issuer: "{ISSUER}", algorithms: [RS256, ES256, EdDSA], jwks: {{ file: jwks.json }} }}
  dev: {{ issuer: "https://dev.test/", algorithms: [RS256], jwks: {{ file: certs/issuer.jwks.json }} }}
  shared: {{ issuer: "https://shared.test/", algorithms: [HS256], secret: {{ env: HOOKGATE_E2E_SECRET }} }}
routes:
  - name: default
    match: {{ path: "/*" }}
    upstream: {{ url: "http://127.0.0.1:{self.app_port}" }}
    auth:
      jwt:
        issuer: [test, dev, shared]
        audience: {AUDIENCE}
        required: [iss, aud, exp, nbf]
        claims: {{ event_scope: webhook }}
        max_age: 5m
        leeway: 5s
    replay: off
  - name: timed
    match: {{ host: timed.test, path: "/*" }}
    upstream: {{ url: "http://127.0.0.1:{self.app_port}" }}
    auth: {{ jwt: {{ issuer: test, audience: "{AUDIENCE}" }} }}
    timestamp: {{ header: X-Webhook-Timestamp, max_age: 5m, max_future: 1m, covered: false }}
    replay: off
"""

    def write(self, name, text):
        beside = self.folder / (name + ".new")
        beside.write_text(text)
        beside.rename(self.folder / name)

    def run(self, *arguments, check=True):
        command, where = [self.hookgate, *arguments], {"cwd": self.folder, "env": self.environment()}
        return subprocess.run(command, **where, check=check, capture_output=True, text=True)

    def environment(self):
        return {"PATH": "/usr/bin:/bin", "HOOKGATE_E2E_SECRET": SECRET, "SEEN": str(self.seen_file)}

    def start(self, command, log, cwd):
        with open(log, "ab") as output:
            process = subprocess.Popen(command, cwd=cwd, env=self.environment(), stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def start_app(self):
        command = [sys.executable, "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(self.app_port)]
        self.start(command, self.folder / "app.log", pathlib.Path(__file__).parent)
        until("the app serves", lambda: httpx.get(f"http://127.0.0.1:{self.app_port}/docs").status_code == 200)

    def start_gateway(self):
        self.gateway = self.start([self.hookgate, "run", "--config", "gateway.yaml"], self.log_file, self.folder)
        until("the gateway is ready", lambda: self.admin("/readyz").status_code == 200)

    def admin(self, path):
        return httpx.get(f"http://127.0.0.1:{self.admin_port}{path}")

    def metric(self, name):
        lines = self.admin("/metrics").text.splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), None)

    def client(self, **options):
        context = ssl.create_default_context(cafile=self.folder / "certs/ca.crt")
        return httpx.Client(verify=context, base_url=f"https://localhost:{self.port}", trust_env=False, **options)

    def post(self, token=None, body=b"{}", headers=None, path="/webhook", **options):
        if token is not None:
            self.tokens.append(token)
        headers = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **(headers or {})}
        with self.client(**options) as client:
            return client.post(path, content=body, headers=headers)

    def seen(self):
        return [json.loads(line) for line in self.seen_file.read_text().splitlines()]

    def log(self):
        return self.log_file.read_text()

    def terminate(self):
        self.gateway.send_signal(signal.SIGTERM)
        return self.gateway.wait(timeout=PATIENCE)
