"""Shared by the attacks: keys and certificates, the gateway, its upstream, and figures of its process."""

import contextlib
import datetime
import json
import math
import pathlib
import re
import socket
import subprocess
import time
import urllib.request

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER, AUDIENCE = "https://issuer.test/", "https://hooks.test/webhook"


def free_port(taken=set()) -> int:
    """A free port from 18000 on; never the same one twice, since the default argument persists between calls."""
    for port in range(18000, 19000):
        with socket.socket() as one:
            if port not in taken and one.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                return port
    raise SystemExit("no free port from 18000 to 18999")


def until(what, condition, patience=20.0):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"gave up waiting until {what}")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


# --- certificates and tokens ------------------------------------------------------------------------------------------


def pem(key) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def new_key(kind="ecdsa"):
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


class Authority:
    """A certificate authority that issues certificates and CRLs."""

    def __init__(self, name="test CA"):
        self.key, self.serial = new_key(), 1
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = (
            self._builder(self.name, self.key, -1, 90).add_extension(constraints, True).add_extension(usage, True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(self, subject, key, first_day, last_day):
        now = datetime.datetime.now(datetime.timezone.utc)
        self.serial += 1
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
            .serial_number(self.serial).not_valid_before(now + first_day * day).not_valid_after(now + last_day * day)
        )

    def issue(self, name="localhost", kind="ecdsa", days=(-1, 80), usage=ExtendedKeyUsageOID.SERVER_AUTH):
        """Certificate and key in one PEM text, and the certificate's serial number."""
        key = new_key(kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            self._builder(subject, key, *days).add_extension(names, False).add_extension(identifier, False)
            .add_extension(x509.ExtendedKeyUsage([usage]), False).sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + pem(key), certificate.serial_number

    def revocations(self, numbers) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        self.crls = getattr(self, "crls", 0) + 1
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        crl = (
            x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now - datetime.timedelta(hours=1))
            .next_update(now + datetime.timedelta(days=1)).add_extension(x509.CRLNumber(self.crls), False)
            .add_extension(identifier, False)
        )
        for number in numbers:
            revoked = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
            crl = crl.add_revoked_certificate(revoked)
        return crl.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class TokenIssuer:
    def __init__(self):
        self.key = new_key()

    def jwks(self) -> str:
        public = jwt.get_algorithm_by_name("ES256").to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]})

    def token(self, number=0, kid="one") -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "jti": str(number)}
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": kid})


# --- processes --------------------------------------------------------------------------------------------------------


class Gateway:
    """A fresh gateway for each attack, so that its memory figures belong to that attack alone."""

    def __init__(self, hookgate, folder: pathlib.Path, configuration: str, admin: int, log: int | None = None):
        path = folder / "gateway.yaml"
        path.write_text(configuration)
        checked = subprocess.run([hookgate, "check", "--config", path], capture_output=True, text=True)
        if checked.returncode != 0:
            raise SystemExit(checked.stderr + checked.stdout)
        stated = re.search(r"memory: at most ([\d,]+) MiB", checked.stdout)
        # The memory that the gateway may need, as `check` says, in MiB.
        self.bound = int(stated[1].replace(",", "")) if stated else math.inf
        command = [hookgate, "run", "--config", str(path)]
        self.process = subprocess.Popen(command, stdout=log or subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid, self.admin = self.process.pid, admin
        until("the gateway listens", lambda: accepts(admin))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def memory(self, name: str) -> float:
        """`VmRSS` or `VmHWM`, in MiB; not a number once the process has ended."""
        _, found, value = pathlib.Path(f"/proc/{self.pid}/status").read_text().partition(f"{name}:")
        return int(value.split()[0]) / 1024 if found else math.nan

    def forget_peak(self) -> None:
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def metrics(self, patience=20) -> dict[str, float]:
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=patience).read().decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}


@contextlib.contextmanager
def nginx(folder: pathlib.Path):
    """The upstream: answers 200 to every request, and serves two files; yields its port."""
    port = free_port()
    for name, size in (("large", 16 << 20), ("medium", 256 << 10)):
        (folder / name).write_bytes(b"x" * size)
    folder.chmod(0o755)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log /dev/null; worker_processes 1; worker_rlimit_nofile 20000;\n"
        "events { worker_connections 10000; }\n"
        f"http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}/bodies;\n"
        f"  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"  server {{ listen 127.0.0.1:{port} backlog=4096; client_max_body_size 0;\n"
        f"    location / {{ return 200 'ok'; }} location ~ ^/public/(large|medium)$ {{ alias {folder}/$1; }} }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        until("nginx listens", lambda: accepts(port))
        yield port
    finally:
        process.terminate()
        process.wait()
