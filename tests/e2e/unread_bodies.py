"""End to end: request smuggling through applications that respond without reading the request's body (CL.0).

    python tests/e2e/unread_bodies.py --hookgate target/debug/hookgate        (needs node and php)

Each application responds to /open/* for everybody, and /webhook is guarded by the gateway alone. The attack is a request
to /open whose body is a request to /webhook. `reuse: always` is the control: it shows which of the servers leave a body
unread, and that the attack would work.
"""
import http.server
import json
import pathlib
import shutil
import socket
import ssl
import sys
import threading

from checks import main, named, rows
from harness import PATIENCE, World, free_ports, get

HERE = pathlib.Path(__file__).parent / "unread_bodies"
SMUGGLED = b"POST /webhook HTTP/1.1\r\nHost: smuggled.test\r\nContent-Length: 0\r\n\r\n"


class Unread(World):
    """A Python, a Node and a PHP server; for each of them a route for each value of `upstream.reuse`."""

    def prepare(self):
        self.write("token", "a static token of more than sixteen bytes")
        self.seen_of = {}
        self.python = python_server()
        self.at_exit.callback(self.python.shutdown)
        self.node_port, self.php_port = free_ports(2)

    def start_app(self):
        for program in ["node", "php"]:
            assert shutil.which(program), f"{program} is missing; tests/run.sh installs it"
        node = ["node", HERE / "server.js", str(self.node_port)]
        php = ["php", "-S", f"127.0.0.1:{self.php_port}", HERE / "server.php"]
        for command, port in [(node, self.node_port), (php, self.php_port)]:
            self.start(command, self.app_log, self.folder, lambda port=port: get(port, "/seen").status_code == 200)

    def ports(self):
        return {"python": self.python.server_port, "node": self.node_port, "php": self.php_port}

    def configuration(self):
        """JSON is YAML. The host of a route is SERVER.REUSE.test."""
        routes = []
        for server, port in self.ports().items():
            for reuse in ["safe", "always"]:
                host = f"{server}.{reuse}.test"
                upstream = {"url": f"http://127.0.0.1:{port}", "reuse": reuse}
                token = {"static_token": {"header": "X-Token", "secret": {"file": "token"}}}
                routes += [
                    {"name": f"{server}-{reuse}-open", "match": {"host": host, "path": "/open/*"},
                     "upstream": upstream, "auth": "public"},
                    {"name": f"{server}-{reuse}-guarded", "match": {"host": host, "path": "/webhook"},
                     "upstream": upstream, "auth": token},
                ]
        tls = {"certificates": [{"cert": "certs/server.crt", "key": "certs/server.key"}]}
        return json.dumps({
            "workers": 1,
            "listeners": [{"address": f"127.0.0.1:{self.port}", "tls": tls}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "routes": routes,
        }, indent=1)

    def handled(self, server):
        """The requests that a server's handler has handled since the last call."""
        seen = get(self.ports()[server], "/seen").json()
        before = self.seen_of.get(server, 0)
        self.seen_of[server] = len(seen)
        return seen[before:]

    def exchange(self, request):
        """The response to bytes on their own connection, which they must close."""
        context = ssl.create_default_context(cafile=self.folder / "certs/ca.crt")
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                stream.sendall(request)
                got = b""
                while more := stream.recv(65536):
                    got += more
        return got.decode()

    def open(self, host, method, name, body=b""):
        head = f"{method} /open/{name} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return self.exchange((head + length + "\r\n").encode() + body)


def python_server():
    """http.server with persistent connections and a handler that reads no body, as most do for GET."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self):
            text = json.dumps(seen) if self.path == "/seen" else f"this is {self.path}"
            if self.path != "/seen":
                seen.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = do_OPTIONS = respond

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def a_body_is_no_request(world, server, method):
    world.handled(server)
    host = f"{server}.safe.test"
    first = world.open(host, method, "first", SMUGGLED)
    second = world.open(host, "GET", "second")
    assert "this is /open/first" in first and "this is /open/second" in second, (first, second)
    assert world.handled(server) == [f"{method} /open/first", "GET /open/second"]


SERVERS = {f"by {server}, {method}": (server, method) for server in ["python", "node", "php"]
           for method in ["GET", "POST", "DELETE", "OPTIONS"]}


def the_attack_works_where_it_is_allowed(world):
    """Otherwise the checks above would show nothing. The response to the smuggled request is never read: that the gateway
    closes such a connection does not help, because the handler has run by then."""
    world.handled("python")
    first = world.open("python.always.test", "GET", "first", SMUGGLED)
    second = world.open("python.always.test", "GET", "second")
    assert "this is /open/first" in first and "this is /open/second" in second, (first, second)
    assert "POST /webhook" in world.handled("python")


def node_and_php_read_the_bodies_that_their_handlers_leave(world):
    for server in ["node", "php"]:
        world.handled(server)
        world.open(f"{server}.always.test", "GET", "first", SMUGGLED)
        world.open(f"{server}.always.test", "GET", "second")
        assert world.handled(server) == ["GET /open/first", "GET /open/second"], server


def a_request_without_a_token_does_not_reach_the_guarded_path(world):
    for server in world.ports():
        world.handled(server)
        head = f"POST /webhook HTTP/1.1\r\nHost: {server}.safe.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert world.exchange(head.encode()).startswith("HTTP/1.1 401 "), server
        assert world.handled(server) == []


CHECKS = {
    **named(a_request_without_a_token_does_not_reach_the_guarded_path),
    **rows(a_body_is_no_request, SERVERS, "not smuggled"),
    **named(the_attack_works_where_it_is_allowed, node_and_php_read_the_bodies_that_their_handlers_leave),
}

if __name__ == "__main__":
    sys.exit(main(__doc__, Unread, CHECKS))
