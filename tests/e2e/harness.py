"""Processes, files and keys of the end-to-end tests."""
import contextlib
import json
import os
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


def free_ports(count):
    """Free ports. All sockets stay open until the last port is known, so that no two are the same."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def until(what, condition):
    """Polls until the condition is true. Returns its value."""
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(httpx.TransportError):
            value = condition()
            if value:
                return value
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.02)


def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEYS = {
    "RS256": rsa_key, "PS256": rsa_key,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Issuer:
    """A key for each algorithm; tokens by PyJWT."""

    def __init__(self, generation="1", algorithms=("RS256", "ES256", "EdDSA"), iss=ISSUER):
        self.generation, self.iss = generation, iss
        self.keys = {algorithm: KEYS[algorithm]() for algorithm in algorithms}

    def kid(self, algorithm):
        return algorithm + self.generation

    def jwk(self, algorithm):
        public = self.keys[algorithm].public_key()
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
        return {**jwk, "kid": self.kid(algorithm), "alg": algorithm, "use": "sig"}

    def jwks(self):
        return json.dumps({"keys": [self.jwk(algorithm) for algorithm in self.keys]})

    def token(self, algorithm="RS256", headers=None, key=None, **changes):
        """A token with valid claims and these changes; None removes a claim."""
        now = int(time.time())
        claims = {
            "iss": self.iss, "aud": AUDIENCE, "sub": "shop-42", "event_scope": "webhook",
            "iat": now, "nbf": now, "exp": now + 300, **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.kid(algorithm), **(headers or {})}
        return jwt.encode(claims, key or self.keys[algorithm], algorithm=algorithm, headers=headers)


class World:
    """A folder, uvicorn with the FastAPI app, and the gateway in front of it."""

    def __init__(self, hookgate):
        self.hookgate = str(pathlib.Path(hookgate).resolve())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hookgate-e2e-"))
        self.seen_file = self.folder / "seen.jsonl"
        self.app_log, self.gateway_log = self.folder / "app.log", self.folder / "gateway.log"
        self.seen_file.touch()
        self.port, self.admin_port, self.app_port = free_ports(3)
        self.issuer, self.tokens, self.processes = Issuer(), [], []
        self.at_exit = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.run("dev-certs", "--dir", "certs")
            self.prepare()
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
        self.at_exit.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        """Writes the files that must exist before the gateway starts."""
        self.write("jwks.json", self.issuer.jwks())

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
        issuer: test
        audience: {AUDIENCE}
        required_claims: [iss, aud, exp, nbf]
        claims: {{ event_scope: webhook }}
        max_age: 5m
        leeway: 5s
    replay_protection: disabled
  - name: timed
    match: {{ host: timed.test, path: "/*" }}
    upstream: {{ url: "http://127.0.0.1:{self.app_port}" }}
    auth: {{ jwt: {{ issuer: test, audience: "{AUDIENCE}" }} }}
    timestamp: {{ header: X-Webhook-Timestamp, max_age: 5m, max_future: 1m, signed: false }}
    replay_protection: disabled
  - name: signed
    match: {{ host: localhost, path: /webhook, methods: [POST] }}
    upstream: {{ url: "http://127.0.0.1:{self.app_port}" }}
    auth: {{ jwt: {{ issuer: [dev, test], audience: "{AUDIENCE}", claims: {{ event_scope: webhook }} }} }}
    replay_protection: disabled
  - name: shared
    match: {{ host: shared.test, path: /webhook }}
    upstream: {{ url: "http://127.0.0.1:{self.app_port}" }}
    auth: {{ jwt: {{ issuer: shared, audience: "{AUDIENCE}" }} }}
    replay_protection: disabled
"""

    def write(self, name, text):
        new = self.folder / (name + ".new")
        new.write_text(text)
        new.rename(self.folder / name)

    def run(self, *arguments, status=0):
        done = self.shell([self.hookgate, *arguments])
        assert done.returncode == status, (arguments, done)
        return done

    def shell(self, command, **options):
        where = {"cwd": self.folder, "env": self.environment()}
        return subprocess.run(command, **where, capture_output=True, text=True, timeout=PATIENCE, **options)

    def environment(self):
        ours = {"NO_PROXY": "*", "HOOKGATE_E2E_SECRET": SECRET, "SEEN": str(self.seen_file)}
        return {"PATH": os.environ["PATH"], **ours}

    def start(self, command, log, cwd, serves):
        with open(log, "ab") as output:
            process = subprocess.Popen(command, cwd=cwd, env=self.environment(), stdout=output, stderr=output)
        self.processes.append(process)
        try:
            until("it serves", lambda: process.poll() is not None or serves())
            assert process.poll() is None, f"it ended with {process.returncode}"
        except AssertionError as error:
            raise AssertionError(f"{command}: {error}\n{log.read_text()}") from None
        return process

    def start_app(self):
        here, port = pathlib.Path(__file__).parent, str(self.app_port)
        command = [sys.executable, "-m", "uvicorn", "app:recorded", "--host", "127.0.0.1", "--port", port]
        self.start(command, self.app_log, here, lambda: get(self.app_port, "/docs").status_code == 200)

    def start_gateway(self):
        command = [self.hookgate, "run", "--config", "gateway.yaml"]
        self.gateway = self.start(command, self.gateway_log, self.folder, self.ready)

    def ready(self):
        return self.admin("/readyz").status_code == 200

    def admin(self, path):
        return get(self.admin_port, path)

    def metric(self, name):
        lines = self.admin("/metrics").text.splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), None)

    def client(self, **options):
        context = ssl.create_default_context(cafile=self.folder / "certs/ca.crt")
        return httpx.Client(verify=context, trust_env=False, timeout=PATIENCE, **options)

    def post(self, *tokens, body=b"{}", headers=(), path="/webhook", scheme="https", **options):
        """One request on its own connection, with an Authorization header for each token."""
        self.tokens.extend(tokens)
        headers = [*[("Authorization", f"Bearer {token}") for token in tokens], *dict(headers).items()]
        with self.client(**options) as client:
            return client.post(f"{scheme}://127.0.0.1:{self.port}{path}", content=body, headers=headers)

    def seen(self):
        return [json.loads(line) for line in self.seen_file.read_text().splitlines()]

    def log(self):
        return self.gateway_log.read_text()

    def access_line(self, request_id):
        """The access log line of a request. It is written after the response is sent, possibly after the response is read."""
        def found():
            return next((line for line in self.log().splitlines() if request_id in line), None)

        return json.loads(until("the request is in the log", found))

    def terminate(self):
        self.gateway.send_signal(signal.SIGTERM)
        return self.gateway.wait(timeout=PATIENCE)


def get(port, path):
    return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
