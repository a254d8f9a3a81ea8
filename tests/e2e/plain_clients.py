"""End to end: clients of plain HTTP, some of which offer HTTP/2 (`Upgrade: h2c`) or close their side after the request.

    python tests/e2e/plain_clients.py --hookgate target/debug/hookgate        (needs curl and node)
"""
import pathlib
import shutil
import socket
import subprocess
import sys

from checks import fields, main, named
from harness import PATIENCE, World

HERE = pathlib.Path(__file__).parent / "plain_clients"
NODE = """
const [url, token, body] = process.argv.slice(1);
const headers = { Authorization: `Bearer ${token}` };
fetch(url, { method: 'POST', headers, body }).then(async (response) => console.log(response.status, await response.text()));
"""


class Plain(World):
    """The gateway without TLS, as behind a proxy that terminates it."""

    def configuration(self):
        tls = "    tls: { certificates: [ { cert: certs/server.crt, key: certs/server.key } ] }"
        return super().configuration().replace(tls, "    plaintext: true")

    def call(self, *command):
        assert shutil.which(command[0]), f"{command[0]} is missing; tests/run.sh installs it"
        command = [str(part) for part in command]
        where = {"cwd": self.folder, "env": self.environment()}
        # Java compiles the client first.
        done = subprocess.run(command, **where, capture_output=True, text=True, timeout=6 * PATIENCE)
        assert done.returncode == 0, done
        return done.stdout

    def url(self):
        return f"http://localhost:{self.port}/webhook"

    def token(self):
        token = self.issuer.token()
        self.tokens.append(token)
        return token

    def no_offer_reached_the_app(self, count):
        """Asserts that the app got so many requests, and in none of them a part of the offer."""
        seen = self.seen()[-count:]
        assert len(seen) == count
        for request in seen:
            assert [fields(request, name) for name in ["upgrade", "http2-settings", "connection"]] == [[], [], []]


def the_client_of_the_jdk_is_served_over_http_1(world):
    before = len(world.seen())
    body = "x" * 100_000
    lines = world.call("java", HERE / "Post.java", world.url(), world.token(), body).splitlines()
    assert lines == ['200 HTTP_1_1 {"ok":true,"received":100000}'] * 3, lines
    assert len(world.seen()) == before + 3
    world.no_offer_reached_the_app(3)


def curl_with_http2_is_served_over_http_1(world):
    write = "%{http_code} %{http_version}"
    token = f"Authorization: Bearer {world.token()}"
    got = world.call("curl", "-sS", "--http2", "-H", token, "-d", "{}", "-w", write, world.url())
    assert got == '{"ok":true,"received":2}200 1.1', got
    world.no_offer_reached_the_app(1)


def fetch_of_node_is_served(world):
    assert world.call("node", "-e", NODE, world.url(), world.token(), "{}") == '200 {"ok":true,"received":2}\n'


def a_client_that_closes_its_side_is_served(world):
    head = f"POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {world.token()}\r\nContent-Length: 2"
    with socket.create_connection(("127.0.0.1", world.port), PATIENCE) as stream:
        stream.sendall(f"{head}\r\n\r\n{{}}".encode())
        stream.shutdown(socket.SHUT_WR)
        got = b""
        while more := stream.recv(65536):
            got += more
    assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(b'{"ok":true,"received":2}'), got


CHECKS = named(
    the_client_of_the_jdk_is_served_over_http_1,
    curl_with_http2_is_served_over_http_1,
    fetch_of_node_is_served,
    a_client_that_closes_its_side_is_served,
)
# A JDK is large, and so only where one is installed; tests/real.sh always needs it.
if not shutil.which("javac"):
    del CHECKS["the client of the jdk is served over http 1"]
    print("SKIPPED: the client of the JDK: javac is missing")

if __name__ == "__main__":
    sys.exit(main(__doc__, Plain, CHECKS))
