"""End to end: certificates from Pebble, the ACME test server of Let's Encrypt, by TLS-ALPN-01.

    python tests/e2e/acme.py --hookgate target/debug/hookgate

The listener requires client certificates, and Pebble an external account binding. libfaketime moves the clock of the
gateway, and nothing else's.
"""
import datetime
import glob
import json
import signal
import socket
import ssl
import stat
import sys

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from checks import main, named
from harness import PATIENCE, World, free_ports, until

TOKEN = "a static token of more than sixteen bytes"
EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
LIFETIME = 30 * 86400
NAME, FAILING, ADDED = "hooks.test", "failing.test", "added.test"


def client_certificate(folder):
    """Writes a CA and the certificate of a client."""
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def certificate(subject, key):
        today, days = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("clients")).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(today - days(1))
        return made.not_valid_after(today + days(365))

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certificate("clients", ca_key).add_extension(x509.BasicConstraints(True, None), critical=True)
    client = certificate("client", key).add_extension(x509.BasicConstraints(False, None), critical=True)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    (folder / "clients.crt").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    (folder / "client.pem").write_bytes(client.sign(ca_key, hashes.SHA256()).public_bytes(pem) + private)


class Acme(World):
    def prepare(self):
        self.clock = self.folder / "clock"
        self.clock.write_text("+0d")
        self.write("token", TOKEN)
        self.write("eab", EAB_KEY + "\n")
        client_certificate(self.folder)
        self.acme_port, self.management, self.dns, self.dns_management, self.second_port, self.second_admin = free_ports(6)
        self.start_names()
        self.start_pebble()

    def start_names(self):
        """A name server for which every name is this machine."""
        unused = [part for name in ("http01", "https01", "tlsalpn01") for part in (f"-{name}", "")]
        command = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns}", *unused, "-defaultIPv6", ""]
        command += ["-management", f"127.0.0.1:{self.dns_management}", "-defaultIPv4", "127.0.0.1"]
        self.start(command, self.folder / "names.log", self.folder, lambda: self.resolves(FAILING, False) is None)

    def resolves(self, name, whether):
        """Whether the name server fails for a name."""
        path = "clear-servfail" if whether else "set-servfail"
        httpx.post(f"http://127.0.0.1:{self.dns_management}/{path}", json={"host": name}, trust_env=False).raise_for_status()

    def start_pebble(self):
        settings = {
            "listenAddress": f"127.0.0.1:{self.acme_port}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": "certs/server.crt", "privateKey": "certs/server.key",
            "httpPort": 1, "tlsPort": self.port, "certificateValidityPeriod": LIFETIME,
            "externalAccountBindingRequired": True, "externalAccountMACKeys": {"kid-1": EAB_KEY},
        }
        self.write("pebble.json", json.dumps({"pebble": settings}))
        # It validates without a pause, and each time.
        command = ["env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "pebble", "-config", "pebble.json", "-strict", "-dnsserver", f"127.0.0.1:{self.dns}"]
        self.pebble_log = self.folder / "pebble.log"
        self.start(command, self.pebble_log, self.folder, lambda: self.authority("/roots/0"))
        self.roots = self.authority("/roots/0")

    def authority(self, path):
        trust = ssl.create_default_context(cafile=self.folder / "certs/ca.crt")
        response = httpx.get(f"https://127.0.0.1:{self.management}{path}", verify=trust, trust_env=False)
        return response.raise_for_status().text

    def gateway_command(self, name="gateway.yaml"):
        """The gateway with a clock that the test sets; its timers are the real ones."""
        [library] = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        fake = [f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={self.clock}", "FAKETIME_NO_CACHE=1"]
        return ["env", *fake, "FAKETIME_DONT_FAKE_MONOTONIC=1", self.hookgate, "run", "--config", name]

    def start_gateway(self):
        self.gateway = self.start(self.gateway_command(), self.gateway_log, self.folder, self.ready)

    def configuration(self, names=(NAME, FAILING), port=None, admin=None, tls=None):
        acme = f"""
      acme:
        names: [{", ".join(names)}]
        terms_of_service_agreed: true
        directory: "https://127.0.0.1:{self.acme_port}/dir"
        contacts: [ops@hooks.test]
        storage: acme
        root_ca: certs/ca.crt
        eab: {{ key_id: kid-1, hmac_key: {{ file: eab }} }}"""
        return f"""
drain: {{ delay: 0s, timeout: 10s }}
listeners:
  - address: "127.0.0.1:{port or self.port}"
    tls:
      client_ca: clients.crt{acme if tls is None else tls}
admin: {{ address: "127.0.0.1:{admin or self.admin_port}" }}
routes:
  - name: hooks
    match: {{ path: "/*" }}
    upstream: {{ url: "http://127.0.0.1:{self.app_port}" }}
    auth: {{ static_token: {{ header: X-Token, secret: {{ file: token }} }} }}
"""

    def status(self, name, port=None):
        page = httpx.get(f"http://127.0.0.1:{port or self.admin_port}/status", trust_env=False).json()
        return next(one for one in page["acme"] if one["name"] == name)

    def orders(self, result):
        return self.metric(f'hookgate_acme_orders_total{{result="{result}"}}')

    def context(self, client=True, roots=None):
        context = ssl.create_default_context(cadata=roots or self.roots)
        if client:
            context.load_cert_chain(self.folder / "client.pem")
        return context

    def serial(self, name=NAME, port=None, **options):
        """The serial number of the certificate that is served for a name, after a byte of the response: in TLS 1.3 the
        client learns of a rejected certificate only then."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE) as plain:
            with self.context(**options).wrap_socket(plain, server_hostname=name) as stream:
                stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert stream.recv(1) == b"H"
                return stream.getpeercert()["serialNumber"]

    def fails(self, name, **options):
        try:
            self.serial(name, **options)
        except (ssl.SSLError, ConnectionError):
            return True
        return False

    def hang_up(self):
        self.gateway.send_signal(signal.SIGHUP)


def a_certificate_is_obtained_and_served_to_a_client_with_its_own(world):
    until("there is a certificate", lambda: world.status(NAME)["expires"])
    url = f"https://127.0.0.1:{world.port}/webhook"
    with httpx.Client(verify=world.context(), trust_env=False) as client:
        headers, sni = {"Host": NAME, "X-Token": TOKEN}, {"sni_hostname": NAME}
        response = client.post(url, content=b"{}", headers=headers, extensions=sni)
    # The app has a check of its own, which this request does not pass.
    assert response.headers["server"] == "uvicorn", response.text
    assert world.fails(NAME, client=False), "client certificates are required"
    assert world.orders("success") == 1


def a_name_that_cannot_be_validated_fails_alone_and_is_not_ordered_again(world):
    until("the order has failed", lambda: world.status(FAILING)["error"])
    assert world.fails(FAILING)
    labels = f'listener="127.0.0.1:{world.port}",reason="no_certificate",result="error"'
    assert world.metric(f"hookgate_tls_handshakes_total{{{labels}}}") >= 1
    ready = world.admin("/readyz").json()
    assert ready["ready"] and ready["names_without_certificate"] == [FAILING], ready
    assert world.orders("error") == 1 and "could not validate" in world.status(FAILING)["error"], world.status(FAILING)
    assert world.metric(f'hookgate_certificate_expiry_timestamp_seconds{{name="{FAILING}"}}') == 0


def without_a_challenge_acme_connections_fail(world):
    context = world.context(client=False)
    context.set_alpn_protocols(["acme-tls/1"])
    with socket.create_connection(("127.0.0.1", world.port), timeout=PATIENCE) as plain:
        try:
            context.wrap_socket(plain, server_hostname=NAME)
            raise AssertionError("the handshake succeeded")
        except ssl.SSLError as error:
            assert "no application protocol" in str(error).lower().replace("_", " "), error


def the_storage_is_private(world):
    found = [world.folder / "acme", *(world.folder / "acme").rglob("*")]
    names = {path.name for path in found}
    assert {"account.json", f"{NAME}.pem", "lock"} <= names and f"{FAILING}.pem" not in names, names
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert any(path.name.startswith("127.0.0.1-") for path in found), "the server is part of the path"


def a_restart_obtains_nothing(world):
    serial = world.serial()
    assert world.terminate() == 0
    world.start_gateway()
    assert world.serial() == serial
    until("both names were looked at", lambda: world.status(FAILING)["next_attempt"])
    assert world.orders("success") == world.orders("error") == 0


def the_certificate_is_renewed_after_two_thirds_of_its_lifetime(world):
    before = world.serial()
    world.clock.write_text("+18d")
    world.hang_up()
    # The failed name is tried again, and nothing else.
    until("the signal has been handled", lambda: world.orders("error") == 1)
    assert world.serial() == before and world.orders("success") == 0
    world.clock.write_text("+20d")
    world.hang_up()
    until("it is renewed", lambda: world.orders("success") == 1)
    assert world.serial() != before


def a_failed_renewal_keeps_the_certificate(world):
    before, failed = world.serial(), world.orders("error")
    world.resolves(NAME, False)
    world.hang_up()
    until("both orders have failed", lambda: world.orders("error") >= failed + 2)
    assert world.serial() == before and "could not validate" in world.status(NAME)["error"]


def a_signal_tries_again_what_was_fixed(world):
    before = world.serial()
    world.resolves(NAME, True)
    world.resolves(FAILING, True)
    world.hang_up()
    until("there are two certificates", lambda: world.status(FAILING)["expires"] and world.serial() != before)
    assert world.serial(FAILING) and not world.admin("/readyz").json()["names_without_certificate"]
    assert not world.status(NAME)["error"] and not world.status(FAILING)["error"]


def a_second_process_reads_the_certificates_and_orders_none(world):
    text = world.configuration(port=world.second_port, admin=world.second_admin)
    for name, text in {"second": text, "reader": text.replace("storage:", "holder: false\n        storage:")}.items():
        world.write(f"{name}.yaml", text)
        log = world.folder / f"{name}.log"
        process = world.start(world.gateway_command(f"{name}.yaml"), log, world.folder, lambda: world.status(NAME, world.second_admin))
        assert world.serial(port=world.second_port) == world.serial()
        if name == "second":
            until("the lock is taken", lambda: "holder: false" in (world.status(NAME, world.second_admin)["error"] or ""))
        else:
            state = world.status(NAME, world.second_admin)
            assert state["error"] is None and state["next_attempt"] is None, state
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
        assert "certificate in use" in log.read_text()


def names_are_added_and_acme_is_ended_by_a_reload(world):
    world.write("gateway.yaml", world.configuration(names=(NAME, ADDED)))
    until("the names are replaced", lambda: world.admin("/status").json()["acme"][1]["name"] == ADDED)
    until("the new name has a certificate", lambda: world.status(ADDED)["expires"])
    assert world.serial(ADDED) and world.fails(FAILING), "another name's certificate is served for a removed name"
    tls = " \n      certificates: [{ cert: certs/server.crt, key: certs/server.key }]"
    world.write("gateway.yaml", world.configuration(tls=tls))
    until("the reload is done", lambda: world.admin("/status").json()["acme"] == [])
    roots = (world.folder / "certs/ca.crt").read_text()
    assert world.serial("localhost", roots=roots) and world.fails(NAME)


def the_log_has_no_secret(world):
    log = world.log()
    assert EAB_KEY not in log and "PRIVATE KEY" not in log and log.count("certificate in use") >= 4


CHECKS = {
    **named(a_certificate_is_obtained_and_served_to_a_client_with_its_own),
    **named(a_name_that_cannot_be_validated_fails_alone_and_is_not_ordered_again),
    **named(without_a_challenge_acme_connections_fail, the_storage_is_private, a_restart_obtains_nothing),
    **named(the_certificate_is_renewed_after_two_thirds_of_its_lifetime, a_failed_renewal_keeps_the_certificate),
    **named(a_signal_tries_again_what_was_fixed, a_second_process_reads_the_certificates_and_orders_none),
    **named(names_are_added_and_acme_is_ended_by_a_reload, the_log_has_no_secret),
}


if __name__ == "__main__":
    sys.exit(main(__doc__, Acme, CHECKS))
