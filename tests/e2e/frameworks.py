"""End to end: the URL and the client's address that frameworks compute behind hookgate, as docs/how-to/frameworks.md says.

    python tests/e2e/frameworks.py --hookgate target/debug/hookgate

Needs the same packages as examples.py.
"""
import json
import pathlib
import sys

import httpx
from checks import main
from harness import World, free_ports

HERE = pathlib.Path(__file__).parent / "frameworks"
EXPRESS = HERE.parents[2] / "examples/express-github"
CLIENT, GATEWAY = "203.0.113.7", "127.0.0.1"


def uvicorn(*options):
    return [sys.executable, "-m", "uvicorn", "fastapi_app:app", *options]


def django(*options, **settings):
    given = json.dumps({"ALLOWED_HOSTS": ["hooks.example.com"], **settings})
    return ["env", f"SETTINGS={given}", sys.executable, "-m", "gunicorn", "django_app:application", *options]


PORT, SOCKET = ("--port", "PORT"), ("--uds", "SOCKET")
BIND, BIND_SOCKET, ELSEWHERE = ("--bind", f"{GATEWAY}:PORT"), ("--bind", "unix:SOCKET"), ("--forwarded-allow-ips", "10.0.0.1")
TRUST_ALL = ("--forwarded-allow-ips", "*")
FROM_HEADER = {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"]}
# Name: command, scheme and client that it computes.
FRAMEWORKS = {
    "uvicorn": (uvicorn(*PORT), "https", CLIENT),
    "uvicorn, hookgate elsewhere": (uvicorn(*PORT, *ELSEWHERE), "http", GATEWAY),
    "uvicorn, a CIDR range": (uvicorn(*PORT, "--forwarded-allow-ips", "127.0.0.0/8"), "https", CLIENT),
    "uvicorn on a socket": (uvicorn(*SOCKET), "http", None),
    "uvicorn on a socket, all trusted": (uvicorn(*SOCKET, *TRUST_ALL), "https", CLIENT),
    "gunicorn and Django": (django(*BIND), "https", GATEWAY),
    "gunicorn and Django, hookgate elsewhere": (django(*BIND, *ELSEWHERE), "http", GATEWAY),
    "gunicorn and Django, all trusted": (django(*BIND, *TRUST_ALL), "https", GATEWAY),
    "gunicorn and Django on a socket": (django(*BIND_SOCKET), "https", ""),
    "Django, the header trusted": (django(*BIND, *ELSEWHERE, **FROM_HEADER), "https", GATEWAY),
    "Express": (["node", HERE / "express.mjs", "PORT"], "http", GATEWAY),
    "Express, loopback trusted": (["node", HERE / "express.mjs", "PORT", "loopback"], "https", CLIENT),
    "Puma and Sinatra": (["puma", "--bind", f"tcp://{GATEWAY}:PORT"], "https", CLIENT),
    "Puma and Sinatra on a socket": (["puma", "--bind", "unix://SOCKET"], "https", CLIENT),
    "PHP": (["php", "-S", f"{GATEWAY}:PORT", "-t", "public"], "http", GATEWAY),
}
REJECTING = "Django, another host"


class Frameworks(World):
    """A route to each framework."""

    def prepare(self):
        commands = {name: command for name, (command, *_) in FRAMEWORKS.items()}
        commands[REJECTING] = django(*BIND, ALLOWED_HOSTS=["localhost"])
        self.applications = dict(zip(commands, zip(commands.values(), free_ports(len(commands)))))

    def socket(self, port):
        return self.folder / f"{port}.sock"

    def start_app(self):
        for command, port in self.applications.values():
            on_socket = "SOCKET" in " ".join(map(str, command))
            command = [str(part).replace("PORT", str(port)).replace("SOCKET", str(self.socket(port))) for part in command]
            transport = httpx.HTTPTransport(uds=str(self.socket(port)) if on_socket else None)
            serves = lambda: httpx.Client(transport=transport).get(f"http://127.0.0.1:{port}/")
            self.start(command, self.app_log, EXPRESS if command[0] == "node" else HERE, serves)

    def configuration(self):
        """JSON is YAML."""
        def url(command, port):
            return f"unix:{self.socket(port)}" if "SOCKET" in " ".join(map(str, command)) else f"http://127.0.0.1:{port}"

        routes = [
            {"name": f"route-{port}", "match": {"path": f"/{port}"}, "upstream": {"url": url(command, port)}, "auth": "public"}
            for command, port in self.applications.values()
        ]
        tls = {"certificates": [{"cert": "certs/server.crt", "key": "certs/server.key"}]}
        return json.dumps({
            "listeners": [{"address": f"127.0.0.1:{self.port}", "tls": tls}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "trusted_proxies": ["127.0.0.0/8"],
            "routes": routes,
        })

    def ask(self, name):
        _, port = self.applications[name]
        headers = {"Host": "hooks.example.com", "X-Forwarded-For": CLIENT}
        with self.client() as client:
            return port, client.get(f"https://127.0.0.1:{self.port}/{port}", headers=headers)


def it_computes(world, name):
    _, scheme, client = FRAMEWORKS[name]
    port, response = world.ask(name)
    assert response.status_code == 200, response.text
    assert response.json() == {"url": f"{scheme}://hooks.example.com/{port}", "client": client}, response.text


def it_rejects_the_host(world):
    assert world.ask(REJECTING)[1].status_code == 400


CHECKS = {name: lambda world, name=name: it_computes(world, name) for name in FRAMEWORKS}
CHECKS[REJECTING] = it_rejects_the_host

if __name__ == "__main__":
    sys.exit(main(__doc__, Frameworks, CHECKS))
