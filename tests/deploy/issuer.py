"""An issuer, its JWKS server, a DNS server and an upstream, for tests/deploy.sh.

    issuer.py keys DIR                            writes DIR/jwks.json and DIR/signing.pem
    issuer.py token DIR ISSUER AUDIENCE           prints a token signed by it, good for five minutes
    issuer.py serve DIR FOLDER                    https with DIR/issuer.{crt,key}: the files of FOLDER
    issuer.py names DIR ADDRESS                   DNS on port 53 of ADDRESS: the address of every name is 127.0.0.1
    issuer.py app DIR                             http: answers 200, appends each request to DIR/app.log

The servers of http take a free port. Each server writes its port to DIR/issuer.port, DIR/names.port or DIR/app.port once it
listens.
"""

import functools
import hashlib
import http.server
import json
import pathlib
import socketserver
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


class Names(socketserver.BaseRequestHandler):
    """Answers a DNS query (RFC 1035) for an A record by 127.0.0.1, and any other by no record."""

    def handle(self):
        query, socket = self.request
        question = query[12 : query.index(0, 12) + 5]
        answer = b""
        if question.endswith(b"\0\1\0\1"):
            # The name of the question, type A, class IN, no time to live, four bytes.
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1"
        counts = b"\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0"
        socket.sendto(query[:2] + b"\x85\x80" + counts + question + answer, self.client_address)


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


def serve_names(folder, address):
    """The DNS server. A resolver knows no other port than 53."""
    serve(socketserver.ThreadingUDPServer((address, 53), Names), folder / "names.port")


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
        case "names":
            serve_names(folder, *rest)
        case "app":
            serve_app(folder)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
