"""End to end: WebSocket clients and servers in Python (websockets) and Node (ws), with the gateway between them.

    python tests/e2e/websocket_tunnels.py --hookgate target/debug/hookgate        (needs node)
"""
import asyncio
import json
import pathlib
import random
import shutil
import ssl
import sys
import threading
import time

import websockets
from checks import main, named, rows
from harness import AUDIENCE, ISSUER, PATIENCE, World, free_ports, get, until
from websockets.exceptions import ConnectionClosed, InvalidStatus

HERE = pathlib.Path(__file__).parent / "websocket"
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]


class Tunnels(World):
    """Two echo servers; a route to each, and one whose token is a cookie."""

    def start_app(self):
        assert shutil.which("node"), "node is missing; tests/run.sh installs it"
        [self.node_port] = free_ports(1)
        self.start(["node", HERE / "echo.mjs", str(self.node_port)], self.app_log, self.folder,
                   lambda: get(self.node_port, "/").status_code == 200)
        self.write("gateway.yaml", self.configuration())

    def prepare(self):
        super().prepare()
        self.node_port, ready = 1, threading.Event()
        threading.Thread(target=asyncio.run, args=(self.python_server(ready),), daemon=True).start()
        assert ready.wait(PATIENCE)

    async def python_server(self, ready):
        async def echo(socket):
            async for message in socket:
                await socket.send(message)

        def chosen(_, offered):
            return offered[0] if offered else None

        serve = websockets.serve(echo, "127.0.0.1", 0, select_subprotocol=chosen, max_size=None)
        async with serve as server:
            self.python_port = server.sockets[0].getsockname()[1]
            ready.set()
            await asyncio.Future()

    def configuration(self):
        def route(name, port, jwt=None, **websocket):
            token = {"jwt": {"issuer": "test", "audience": AUDIENCE, "leeway": "1s", **(jwt or {})}}
            return {"name": name, "match": {"path": f"/{name}/*", "methods": ["GET"]}, "auth": token,
                    "upstream": {"url": f"http://127.0.0.1:{port}"}, "replay_protection": "disabled",
                    "websocket": websocket}

        tls = {"certificates": [{"cert": "certs/server.crt", "key": "certs/server.key"}]}
        cookie = {"token_from": {"cookie": "session"}}
        routes = [route("python", self.python_port), route("node", self.node_port),
                  route("page", self.python_port, cookie, origins=["https://app.example.com"])]
        plain = {**route("plain", self.python_port)}
        del plain["websocket"]
        return json.dumps({
            "drain": {"delay": "1s", "timeout": "10s"},
            "listeners": [{"address": f"127.0.0.1:{self.port}", "tls": tls}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "issuers": {"test": {"issuer": ISSUER, "algorithms": ["RS256"], "jwks": {"file": "jwks.json"}}},
            "routes": [*routes, plain],
        }, indent=1)

    def connect(self, path, token, headers=(), **options):
        context = ssl.create_default_context(cafile=self.folder / "certs/ca.crt")
        headers = {"Authorization": f"Bearer {token}", **dict(headers)}
        url = f"wss://127.0.0.1:{self.port}{path}"
        return websockets.connect(url, ssl=context, additional_headers=headers, proxy=None, max_size=None, **options)


def run(check):
    return asyncio.run(asyncio.wait_for(check, PATIENCE))


def status(world, path, token, **options):
    async def ask():
        try:
            async with world.connect(path, token, **options):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    return run(ask())


def messages_come_back(world, path, compression):
    async def exchange():
        async with world.connect(path, world.issuer.token(), subprotocols=["chat"], compression=compression) as socket:
            assert socket.subprotocol == "chat"
            for size in SIZES:
                for message in [random.randbytes(size), "é" * size]:
                    await socket.send(message)
                    assert await socket.recv() == message, size
            pong = await socket.ping()
            await pong

    run(exchange())


ECHOES = {f"{server}, {compression}": (f"/{server}/x", compression)
          for server in ["python", "node"] for compression in [None, "deflate"]}


def many_messages_in_both_directions(world):
    async def exchange(number):
        async with world.connect("/python/x", world.issuer.token(), compression=None) as socket:
            messages = [random.randbytes(20_000) for _ in range(20)]

            async def send():
                for message in messages:
                    await socket.send(message)

            sending = asyncio.create_task(send())
            for message in messages:
                assert await socket.recv() == message, number
            await sending

    async def all_of_them():
        await asyncio.gather(*[exchange(number) for number in range(8)])

    run(all_of_them())
    until("all tunnels are closed", lambda: world.metric('hookgate_open_tunnels{route="python"}') == 0)


def the_client_of_node_gets_its_echo(world):
    for path in ["/python/x", "/node/x"]:
        url, ca = f"wss://127.0.0.1:{world.port}{path}", world.folder / "certs/ca.crt"
        done = world.shell(["node", HERE / "client.mjs", url, world.issuer.token(), ca, "hello"])
        assert (done.returncode, done.stdout) == (0, "hello"), done


def handshakes_are_verified(world):
    good = world.issuer.token()
    assert status(world, "/python/x", good) == 101
    assert status(world, "/python/x", good + "x") == 401
    assert status(world, "/plain/x", good) == 400
    assert status(world, "/nowhere/x", good) == 404
    # The application's own answer, on a connection that is not used again.
    assert status(world, "/node/reject", good) == 403


def a_page_needs_its_cookie_and_its_origin(world):
    cookie = {"Cookie": f"session={world.issuer.token()}"}
    for origin, expected in [("https://app.example.com", 101), ("https://evil.test", 403), (None, 403)]:
        async def ask(origin=origin):
            context = ssl.create_default_context(cafile=world.folder / "certs/ca.crt")
            url = f"wss://127.0.0.1:{world.port}/page/x"
            try:
                async with websockets.connect(url, ssl=context, additional_headers=cookie, origin=origin, proxy=None):
                    return 101
            except InvalidStatus as error:
                return error.response.status_code

        assert run(ask()) == expected, origin


def a_tunnel_ends_with_its_token(world):
    async def wait():
        async with world.connect("/python/x", world.issuer.token(exp=int(time.time()) + 2)) as socket:
            await socket.send("before")
            assert await socket.recv() == "before"
            try:
                await socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd

    assert run(wait()) is None, "the close had a frame"
    until("the line has the cause", lambda: '"detail":"token_expired"' in world.log())


def a_drain_closes_tunnels_in_time(world):
    async def wait():
        async with world.connect("/node/x", world.issuer.token()) as socket:
            ended = asyncio.get_running_loop().run_in_executor(None, world.terminate)
            try:
                await socket.recv()
            except ConnectionClosed:
                return await ended

    assert run(wait()) == 0
    assert '"detail":"drain"' in world.log()


CHECKS = {
    **rows(messages_come_back, ECHOES, "echoed"),
    **named(many_messages_in_both_directions, the_client_of_node_gets_its_echo, handshakes_are_verified,
            a_page_needs_its_cookie_and_its_origin, a_tunnel_ends_with_its_token, a_drain_closes_tunnels_in_time),
}

if __name__ == "__main__":
    sys.exit(main(__doc__, Tunnels, CHECKS))
