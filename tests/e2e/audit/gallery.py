"""Starts the gallery of gallery.yaml on free ports of 127.0.0.1, prints {endpoint: URL} as JSON, and waits for its end.

    apt-get install --no-install-recommends nginx nodejs npm puma ruby-sinatra
    npm ci --prefix tests/e2e/audit --ignore-scripts
    target/venv/bin/python tests/e2e/audit/gallery.py [--hookgate BINARY]

What is not installed is named on standard error and left out. A test imports it:

    with Gallery(hookgate) as gallery:
        for endpoint in gallery.endpoints:
            gallery.url(endpoint), gallery.arguments(endpoint, "key"), gallery.expected(endpoint, "key")
"""
import argparse
import datetime
import hashlib
import hmac
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import jwt
import standardwebhooks
import stripe
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import harness  # noqa: E402

harness.PATIENCE = 90  # a dozen processes start at the same time

DEPTHS = ["blind", "captured", "key"]
DECLARED = yaml.safe_load((HERE / "gallery.yaml").read_text())
ENVIRONMENT = DECLARED["environment"]
PATH = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])


def replaced(value, names):
    """The value with the placeholders of its texts replaced."""
    if isinstance(value, dict):
        return {key: replaced(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, names) for item in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, str(text))
    return value


def has_sinatra():
    ruby = shutil.which("ruby")
    return ruby and subprocess.run([ruby, "-e", "require 'sinatra/base'"], capture_output=True).returncode == 0


class Gallery:
    """The applications, and a folder with keys, certificates and the files that an audit is given."""

    def __init__(self, hookgate=None):
        self.hookgate = hookgate and str(pathlib.Path(hookgate).resolve())
        self.missing = {name: self.lacks(app) for name, app in DECLARED["apps"].items() if self.lacks(app)}
        self.apps = {name: app for name, app in DECLARED["apps"].items() if name not in self.missing}
        self.endpoints = [endpoint for endpoint in DECLARED["endpoints"] if endpoint["app"] in self.apps]
        self.ports, self.processes = dict(zip(self.apps, harness.free_ports(len(self.apps)))), []

    def lacks(self, app):
        """The first thing that the application needs and that is not there."""
        found = {"hookgate": lambda: self.hookgate, "sinatra": has_sinatra}
        there = lambda need: (HERE / need).exists() if "/" in need else shutil.which(need, path=PATH)
        return next((need for need in app.get("needs", []) if not found.get(need, lambda: there(need))()), None)

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hookgate-gallery-"))
        try:
            write_keys(self.folder)
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

    def start(self, name):
        app = self.apps[name]
        names = {"PORT": self.ports[name], "SECOND": self.ports.get(app.get("behind")), "FOLDER": self.folder}
        command = [str(part) for part in replaced(app["command"], names)]
        if command[0] == "hookgate":
            command[0] = self.hookgate
            (self.folder / "hookgate.yaml").write_text(json.dumps(replaced(DECLARED["gateway"], names)))
        if command[0] == "nginx":
            text = replaced((HERE / "nginx.conf").read_text(), names | {"UPSTREAM": names["SECOND"]})
            (self.folder / "nginx.conf").write_text(text)
        folder = str(self.folder)
        environment = {"PATH": PATH, "HOME": folder, "KEYS": folder, "LC_ALL": "C.UTF-8", **ENVIRONMENT}
        with open(self.log(name), "wb") as log:
            self.processes.append(subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=log))

    def log(self, name):
        return self.folder / f"{name}.log"

    def wait(self, name, process):
        def listens():

            with socket.socket() as tried:
                return process.poll() is not None or tried.connect_ex(("127.0.0.1", self.ports[name])) == 0

        harness.until(f"{name} listens", listens)
        assert process.poll() is None, f"{name} ended with {process.returncode}\n{self.log(name).read_text()}"

    def url(self, endpoint):
        app = self.apps[endpoint["app"]]
        return f"{'https' if app.get('tls') else 'http'}://127.0.0.1:{self.ports[endpoint['app']]}{endpoint['path']}"

    def expected(self, endpoint, depth):
        """The findings that an audit of this depth must have, and those that it may have."""
        below = DEPTHS[: DEPTHS.index(depth) + 1]
        must = {rule for each in below for rule in endpoint.get("expected", {}).get(each, [])}
        must |= set(self.apps[endpoint["app"]].get("always", []))
        if must & {"unauthenticated-accepted", "bearer-presence-only", "signature-presence-only"}:
            must.discard("rejection-rate-unlimited")  # the invalid request is not rejected
        return must, must | set(endpoint.get("allowed", []))

    def depths(self, endpoint):
        return DEPTHS if endpoint.get("given") else DEPTHS[:1]

    def arguments(self, endpoint, depth):
        """Arguments of `hookgate audit` after the URL. The captured request is new: it is valid for five minutes."""
        given, ca = endpoint.get("given", {}), ["--cacert", str(self.folder / "ca.pem")]
        always = ["--i-own-this", "--allow-private-address", "--allow-side-effects"]
        always += ca if self.url(endpoint).startswith("https:") else []
        second = {"SECOND": self.ports.get(self.apps[endpoint["app"]].get("behind"))}
        for each in DEPTHS[: DEPTHS.index(depth) + 1]:
            always += [str(option) for option in replaced(endpoint.get("options", {}).get(each, []), second)]
        if depth == "blind":
            return always
        if depth == "captured":
            file = self.folder / f"{endpoint['name']}.http"
            file.write_bytes(message(endpoint, *self.genuine(endpoint)))
            return [*always, "--request", str(file)]
        headers = [f"--header={name}: {value}" for name, value in fresh_headers(endpoint).items()]
        if "preset" in given:
            return [*always, *headers, "--preset", given["preset"], "--secret-env", given["secret"]]
        files = ["--config", str(self.configuration(endpoint)), "--key", str(self.folder / "issuer.key")]
        return [*always, *headers, *files]

    def configuration(self, endpoint):
        """gateway.yaml with the route of an endpoint."""
        route = {"name": "audit", "match": {"path": endpoint["path"]}, "upstream": {"url": "http://127.0.0.1:9"}}
        issuers = {"issuers": DECLARED["gateway"]["issuers"]} if "jwt" in endpoint["given"]["route"]["auth"] else {}
        listeners = [{"address": "127.0.0.1:8", "plaintext": True}]
        file = self.folder / f"{endpoint['name']}.yaml"
        file.write_text(json.dumps({"listeners": listeners, **issuers, "routes": [route | endpoint["given"]["route"]]}))
        return file

    def genuine(self, endpoint, **changes):
        """Headers and body of a new request that the endpoint accepts, as its sender makes it."""
        return genuine(self.folder, endpoint, **changes)


def genuine(folder, endpoint, body=None, at=None, secret=None, claims=None, header=None, key=None):
    """Signed by the provider's SDK where there is one, and by PyJWT. The arguments change what is signed."""
    given, now = endpoint["given"], int(time.time()) if at is None else at
    body = body if body is not None else f'{{"id":"evt_{uuid.uuid4().hex}","type":"audit"}}'.encode()
    headers = {"Content-Type": "application/json", **fresh_headers(endpoint)}
    secret = secret if secret is not None else ENVIRONMENT[given.get("secret", "GITHUB_SECRET")]
    mac = lambda algorithm: hmac.new(secret.encode(), body, algorithm).hexdigest()
    if given.get("preset") == "stripe":
        sign = stripe.WebhookSignature.generate_signature_header
        headers["Stripe-Signature"] = sign(body.decode(), secret, now)
    elif given.get("preset") == "github":
        headers["X-Hub-Signature-256"] = "sha256=" + mac(hashlib.sha256)
    elif given.get("preset") == "standard-webhooks":
        message_id, when = f"msg_{uuid.uuid4().hex}", datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc)
        headers["webhook-id"], headers["webhook-timestamp"] = message_id, str(now)
        headers["webhook-signature"] = standardwebhooks.Webhook(secret).sign(message_id, when, body.decode())
    elif "jwt" in given["route"]["auth"]:
        token = jwt.encode(all_claims(now, claims or {}), key or (folder / "issuer.key").read_bytes(), "RS256", header)
        headers["Authorization"] = f"Bearer {token}"
    else:
        headers |= {"X-Timestamp": str(now), "X-Signature": mac(hashlib.sha256)}
    return headers, body


def all_claims(now, changes):
    claims = {"iss": ENVIRONMENT["ISSUER"], "aud": ENVIRONMENT["AUDIENCE"], "sub": "gallery", "event_scope": "webhook",
              "jti": uuid.uuid4().hex, "iat": now, "nbf": now, "exp": now + 300, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def fresh_headers(endpoint):
    return replaced(endpoint.get("headers", {}), {"UUID": uuid.uuid4()})


def message(endpoint, headers, body):
    """The HTTP/1.1 message that `hookgate audit --request` reads."""
    lines = [f"POST {endpoint['path']} HTTP/1.1", "Host: gallery.test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def write_keys(folder):
    """The issuer's key, and certificates of a CA of their own: good, for another name, and at the end of its time."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "issuer.key").write_bytes(as_pem(private))
    (folder / "issuer.pub.pem").write_bytes(private.public_key().public_bytes(*pem))
    ca = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA of the gallery")])
    (folder / "ca.pem").write_bytes(certificate(own, ca, own, ca, 365))
    rows = [("good", "127.0.0.1", 300), ("other-name", "192.0.2.1", 300), ("expiring", "127.0.0.1", 5)]
    for name, address, days in rows:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
        (folder / f"{name}.crt").write_bytes(certificate(subject, key, own, ca, days, address))
        (folder / f"{name}.key").write_bytes(as_pem(key))


def as_pem(key):
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption())


def certificate(subject, key, issuer, issuer_key, days, address=None):
    now = datetime.datetime.now(datetime.timezone.utc)
    built = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(),
                                    now - datetime.timedelta(days=1), now + datetime.timedelta(days=days))
    built = built.add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    if address:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        built = built.add_extension(names, critical=False)
    return built.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", help="the binary, for the endpoints behind the gateway")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Gallery(parser.parse_args().hookgate) as gallery:
        for name, need in gallery.missing.items():
            print(f"left out: {name}, since {need} is not installed", file=sys.stderr)
        urls = {endpoint["name"]: gallery.url(endpoint) for endpoint in gallery.endpoints}
        print(json.dumps(urls, indent=1), flush=True)
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
