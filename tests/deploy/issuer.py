"""An issuer, its JWKS server and an upstream, for tests/deploy.sh.

    issuer.py keys DIR                            writes DIR/jwks.json and DIR/signing.pem
    issuer.py token DIR ISSUER AUDIENCE           prints a token signed by it, good for five minutes
    issuer.py serve DIR FOLDER                    https with DIR/issuer.{crt,key}: the files of FOLDER
    issuer.py app DIR                             http: answers 200, appends each request to DIR/app.log

The servers take a free port and write it to DIR/issuer.port or DIR/app.port once they listen.
"""

import functools
import hashlib
import http.server
import json
import pathlib
import ssl
import sys
import time
import uuid

KID = "deploy-test"


def write_keys(folder):
    """A new RSA key, private as PEM, public as a JWKS."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from jwt.algorithms import RSAAlgorithm

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "signing.pem").write_bytes(pem)
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    # PyJWT writes key_ops; most issuers publish `use` instead.
    jwk.pop("key_ops", None)
    jwk |= {"kid": KID, "alg": "RS256", "use": "sig"}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))


def token(folder, issuer, audience):
    """A token that passes the route in tests/deploy.sh."""
    import jwt

    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        "event_scope": "webhook",
    }
    return jwt.encode(claims, (folder / "signing.pem").read_bytes(), algorithm="RS256", headers={"kid": KID})


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, *_):
        pass


class App(http.server.BaseHTTPRequestHandler):
    """The upstream of the gateway: accepts every request and records it."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder, *arguments):
        self.folder = folder
        super().__init__(*arguments)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with (self.folder / "app.log").open("a", encoding="ascii") as log:
            log.write(f"{self.command} {self.path} {hashlib.sha256(body).hexdigest()}\n")
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"taken")

    def log_message(self, *_):
        pass


def serve(server, port_file):
    """Serves until the process ends; the port file is written atomically."""
    complete = port_file.with_suffix(".new")
    complete.write_text(str(server.server_address[1]))
    complete.rename(port_file)
    server.serve_forever()


def serve_files(folder, served):
    """The issuer's https server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "issuer.crt", folder / "issuer.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=served))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    serve(server, folder / "issuer.port")


def serve_app(folder):
    """The upstream's http server."""
    serve(http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(App, folder)), folder / "app.port")


def main():
    """Runs the command."""
    command, folder, *rest = sys.argv[1:]
    folder = pathlib.Path(folder)
    match command:
        case "keys":
            write_keys(folder)
        case "token":
            print(token(folder, *rest))
        case "serve":
            serve_files(folder, *rest)
        case "app":
            serve_app(folder)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
