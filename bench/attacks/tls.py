#!/usr/bin/env python3
"""TLS tests: sslyze against Mozilla's profiles, known attacks, and client certificates of each kind.

See README.md. Exits 1 if a result is not as expected.
"""

import argparse
import pathlib
import signal
import ssl
import tempfile

import sslyze
from cryptography.x509.oid import ExtendedKeyUsageOID
from sslyze.mozilla_tls_profile import tls_config_checker as mozilla

from wire import tcp
from world import Authority, Gateway, free_port, nginx, until

PROFILES = mozilla.TlsConfigurationEnum
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def configuration(port: int, admin: int, app: int, tls: str) -> str:
    return f"""
listeners:
  - address: "127.0.0.1:{port}"
    tls: {{ certificates: [ {{ cert: server.pem, key: server.pem }} ], {tls} }}
admin: {{ address: "127.0.0.1:{admin}" }}
routes:
  - {{ name: public, match: {{ path: "/*" }}, upstream: {{ url: "http://127.0.0.1:{app}" }}, auth: public }}
"""


# --- sslyze -----------------------------------------------------------------------------------------------------------


def scanned(port: int, ca: pathlib.Path) -> sslyze.ServerScanResult:
    extra = sslyze.ScanCommandsExtraArguments(certificate_info=sslyze.CertificateInfoExtraArgument(custom_ca_file=ca))
    location = sslyze.ServerNetworkLocation(hostname="localhost", port=port, ip_address="127.0.0.1")
    scanner = sslyze.Scanner()
    scanner.queue_scans([sslyze.ServerScanRequest(location, scan_commands_extra_arguments=extra)])
    return next(scanner.get_results())


def deviations(result: sslyze.ServerScanResult, profile) -> dict[str, str]:
    try:
        mozilla.check_server_against_tls_configuration(result, mozilla.MozillaTlsConfiguration.get(profile))
        return {}
    except mozilla.ServerNotCompliantWithTlsConfiguration as error:
        return error.issues


def spoken(result) -> str:
    names = {"ssl_2_0": "SSL 2.0", "ssl_3_0": "SSL 3.0", "tls_1_0": "1.0", "tls_1_1": "1.1", "tls_1_2": "1.2", "tls_1_3": "1.3"}
    parts = []
    for field, name in names.items():
        suites = getattr(result.scan_result, f"{field}_cipher_suites").result.accepted_cipher_suites
        if suites:
            parts.append(f"{name}: " + ", ".join(sorted(suite.cipher_suite.name for suite in suites)))
    return "; ".join(parts)


def findings(result) -> list[tuple[str, object, object]]:
    """Rows of name, result and required result."""
    scan, no = result.scan_result, False
    suites = spoken(result)
    weak = [word for word in ("RC4", "CBC", "3DES", "NULL", "EXPORT", "anon", "TLS_RSA_WITH", "MD5", "_SHA,") if word in suites + ","]
    renegotiation = scan.session_renegotiation.result
    robot = sslyze.RobotScanResultEnum
    return [
        ("SSL 2.0, SSL 3.0, TLS 1.0, TLS 1.1", any(f"{name}: " in suites for name in ("SSL 2.0", "SSL 3.0", "1.0", "1.1")), no),
        ("RC4, CBC, 3DES, NULL, EXPORT, anonymous, static RSA", ", ".join(weak) or no, no),
        ("compression (CRIME)", scan.tls_compression.result.supports_compression, no),
        ("early data (0-RTT)", scan.tls_1_3_early_data.result.supports_early_data, no),
        ("renegotiation by the client", renegotiation.is_vulnerable_to_client_renegotiation_dos, no),
        ("secure renegotiation indicated (RFC 5746), or TLS 1.3 only", renegotiation.supports_secure_renegotiation, True),
        ("extended master secret, or TLS 1.3 only", scan.tls_extended_master_secret.result.supports_ems_extension, True),
        ("fallback to a lower version detected, or only one version", scan.tls_fallback_scsv.result.supports_fallback_scsv, True),
        ("Heartbleed", scan.heartbleed.result.is_vulnerable_to_heartbleed, no),
        ("CCS injection", scan.openssl_ccs_injection.result.is_vulnerable_to_ccs_injection, no),
        ("ROBOT", scan.robot.result.robot_result.name,
         (robot.NOT_VULNERABLE_RSA_NOT_SUPPORTED.name, robot.NOT_VULNERABLE_NO_ORACLE.name)),
    ]


def scan(hookgate: str, folder: pathlib.Path, app: int) -> bool:
    good, authority = True, Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    for profile, kind, version in ((PROFILES.MOZILLA_INTERMEDIATE, "ecdsa", "1.2"), (PROFILES.MOZILLA_INTERMEDIATE, "rsa", "1.2"),
                                   (PROFILES.MOZILLA_MODERN, "ecdsa", "1.3")):
        (folder / "server.pem").write_bytes(authority.issue(kind=kind)[0])
        port, admin = free_port(), free_port()
        with Gateway(hookgate, folder, configuration(port, admin, app, f'min_version: "{version}"'), admin):
            result = scanned(port, folder / "ca.pem")
        print(f"\n## {profile.value}, {kind} certificate, min_version {version}\n\n{spoken(result)}")
        print("groups: " + ", ".join(curve.name for curve in result.scan_result.elliptic_curves.result.supported_curves))
        for name, told in deviations(result, profile).items() or [("no deviation", "")]:
            print(f"profile: {name} {told}")
        for name, found, wanted in findings(result):
            fine = found in wanted if isinstance(wanted, tuple) else found == wanted
            good &= fine
            print(f"{'ok  ' if fine else 'FAIL'} {name}: {found}")
    return good


# --- client certificates ----------------------------------------------------------------------------------------------


def connect(port: int, version: ssl.TLSVersion, certificate: pathlib.Path | None, context=None, session=None):
    """One request over a connection of this version: the result, the TLS session, and its context."""
    if not context:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(certificate)
    try:
        with context.wrap_socket(tcp(port), server_hostname="localhost", session=session) as wire:
            wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status = wire.recv(4096)[9:12].decode()
            return (status or "closed") + (", resumed" if wire.session_reused else ""), wire.session, context
    except ssl.SSLError as error:
        return f"rejected: {(error.reason or str(error)).lower().replace('_', ' ')}", None, context
    except OSError as error:
        return f"rejected: {type(error).__name__}", None, context


def clients(hookgate: str, folder: pathlib.Path, app: int) -> bool:
    authority, other = Authority("clients"), Authority("another CA")
    made = {
        "valid": authority.issue("valid", usage=CLIENT),
        "of another CA": other.issue("wrong", usage=CLIENT),
        "expired": authority.issue("expired", days=(-30, -1), usage=CLIENT),
        "not valid yet": authority.issue("early", days=(1, 30), usage=CLIENT),
        "for servers only": authority.issue("server"),
        "revoked": authority.issue("revoked", usage=CLIENT),
    }
    for name, (text, _) in made.items():
        (folder / f"{name}.pem").write_bytes(text)
    (folder / "server.pem").write_bytes(authority.issue()[0])
    (folder / "clients.crt").write_bytes(authority.pem)
    good = True
    print("\n| client certificate | " + " | ".join(f"{auth}, TLS {v}" for auth in ("required", "optional") for v in VERSIONS) + " |")
    print("|---|---|---|---|---|")
    table: dict[str, list[str]] = {}
    for auth in ("required", "optional"):
        crl = folder / "clients.crl"
        crl.write_bytes(authority.revocations([made["revoked"][1]]))
        port, admin = free_port(), free_port()
        tls = f"client_ca: clients.crt, client_crl: clients.crl, client_auth: {auth}"
        with Gateway(hookgate, folder, configuration(port, admin, app, tls), admin) as gateway:
            sessions = {}
            for version, number in VERSIONS.items():
                for name in ["none", *made]:
                    told, *session = connect(port, number, folder / f"{name}.pem" if name != "none" else None)
                    table.setdefault(name, []).append(told)
                    good &= told.startswith("200") == (name == "valid" or (name == "none" and auth == "optional"))
                    if name == "valid":
                        sessions[version] = session
                told, *_ = connect(port, number, None, sessions[version][1], sessions[version][0])
                table.setdefault("valid, session resumed", []).append(told)
                good &= told == "200, resumed"
            # Revokes the certificate of the saved sessions.
            loaded = 'hookgate_config_reloads_total{result="applied"}'
            before = gateway.metrics()[loaded]
            crl.write_bytes(authority.revocations([made["revoked"][1], made["valid"][1]]))
            gateway.process.send_signal(signal.SIGHUP)
            until("the list is loaded", lambda: gateway.metrics()[loaded] > before)
            for version, number in VERSIONS.items():
                told, *_ = connect(port, number, None, sessions[version][1], sessions[version][0])
                table.setdefault("session resumed after its certificate was revoked", []).append(told)
                good &= not told.startswith("200")
                told, *_ = connect(port, number, folder / "valid.pem")
                table.setdefault("the same certificate, new session", []).append(told)
                good &= not told.startswith("200")
    for name, cells in table.items():
        print(f"| {name} | " + " | ".join(cells) + " |")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hookgate", default="target/release/hookgate")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, nginx(pathlib.Path(name)) as app:
        good = [scan(args.hookgate, pathlib.Path(name), app), clients(args.hookgate, pathlib.Path(name), app)]
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
