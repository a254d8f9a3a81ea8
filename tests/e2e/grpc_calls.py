"""End to end: gRPC through the gateway, with the client and the server of grpcio.

    python tests/e2e/grpc_calls.py --hookgate target/debug/hookgate

The server speaks HTTP/2 without TLS (h2c), as gRPC servers behind a proxy do; the client HTTP/2 over TLS. Messages are
bytes, so that no code is generated.
"""
import json
import sys
import threading
from concurrent import futures

import grpc

from checks import main, named
from harness import PATIENCE, World

TOKEN = "a static token of more than sixteen bytes"


class Calls(grpc.GenericRpcHandler):
    """One method of each kind, and one that fails."""

    def __init__(self):
        self.left = threading.Event()
        self.seen = 0

    def service(self, details):
        return {
            "/app.Hooks/Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "/app.Hooks/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/app.Hooks/Count": grpc.unary_stream_rpc_method_handler(self.count),
            "/app.Hooks/Join": grpc.stream_unary_rpc_method_handler(lambda messages, _: b",".join(messages)),
            "/app.Hooks/Talk": grpc.stream_stream_rpc_method_handler(lambda messages, _: (m.upper() for m in messages)),
            "/app.Hooks/Wait": grpc.unary_stream_rpc_method_handler(self.wait),
        }.get(details.method)

    def echo(self, message, context):
        self.seen += 1
        context.send_initial_metadata([("x-initial", "1")])
        return message

    def fail(self, message, context):
        self.seen += 1
        context.abort(grpc.StatusCode.NOT_FOUND, f"no {message.decode()}")

    def count(self, message, _):
        for number in range(int(message)):
            yield str(number).encode()

    def wait(self, message, context):
        """Sends one message and waits until the client has left."""
        context.add_callback(self.left.set)
        yield message
        self.left.wait(PATIENCE)


class Grpc(World):
    def prepare(self):
        self.write("token", TOKEN)
        self.calls = Calls()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        self.server.add_generic_rpc_handlers([self.calls])
        self.grpc_port = self.server.add_insecure_port("127.0.0.1:0")

    def start_app(self):
        self.server.start()
        self.at_exit.callback(self.server.stop, None)

    def configuration(self):
        upstream = {"url": f"http://127.0.0.1:{self.grpc_port}", "protocol": "http2"}
        token = {"static_token": {"header": "X-Token", "secret": {"file": "token"}}}
        tls = {"certificates": [{"cert": "certs/server.crt", "key": "certs/server.key"}]}
        return json.dumps({
            "workers": 1,
            "listeners": [{"address": f"127.0.0.1:{self.port}", "tls": tls}],
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "routes": [
                {"name": "hooks", "match": {"path": "/app.Hooks/*"}, "auth": token, "limits": {"max_body_size": "64KiB"},
                 "upstream": upstream | {"timeouts": {"total": "none", "response_body_idle": "1m"}}},
            ],
        }, indent=1)

    def channel(self):
        """Verifies the gateway's certificate, and closes at the end."""
        roots = (self.folder / "certs/ca.crt").read_bytes()
        options = [("grpc.ssl_target_name_override", "localhost")]
        credentials = grpc.ssl_channel_credentials(roots)
        channel = grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options)
        self.at_exit.callback(channel.close)
        return channel


GOOD = [("x-token", TOKEN)]


def status_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def all_four_kinds_of_calls_pass(world):
    channel = world.channel()
    echo = channel.unary_unary("/app.Hooks/Echo")
    for message in [b"", b"hello", bytes(30_000)]:
        response, call = echo.with_call(message, metadata=GOOD, timeout=PATIENCE)
        assert response == message and ("x-initial", "1") in [tuple(item) for item in call.initial_metadata()]
    counted = channel.unary_stream("/app.Hooks/Count")(b"1000", metadata=GOOD, timeout=PATIENCE)
    assert [int(number) for number in counted] == list(range(1000))
    joined = channel.stream_unary("/app.Hooks/Join")(iter([b"a", b"b", b"c"]), metadata=GOOD, timeout=PATIENCE)
    assert joined == b"a,b,c"


def a_conversation_goes_back_and_forth(world):
    """Each message is sent once the response to the one before has come."""
    responded = threading.Semaphore(1)

    def messages():
        for number in range(20):
            assert responded.acquire(timeout=PATIENCE)
            yield f"message {number}".encode()

    responses = []
    for response in world.channel().stream_stream("/app.Hooks/Talk")(messages(), metadata=GOOD, timeout=PATIENCE):
        responses.append(response)
        responded.release()
    assert responses == [f"MESSAGE {number}".encode() for number in range(20)]


def the_status_of_a_call_reaches_its_client(world):
    channel = world.channel()
    fail = channel.unary_unary("/app.Hooks/Fail")
    failed = status_of(lambda: fail(b"order", metadata=GOOD, timeout=PATIENCE))
    assert failed == (grpc.StatusCode.NOT_FOUND, "no order"), failed
    unknown = status_of(lambda: channel.unary_unary("/app.Hooks/None")(b"", metadata=GOOD, timeout=PATIENCE))
    assert unknown[0] == grpc.StatusCode.UNIMPLEMENTED, unknown


def a_call_without_a_token_does_not_reach_the_server(world):
    echo, seen = world.channel().unary_unary("/app.Hooks/Echo"), world.calls.seen
    for metadata in [[], [("x-token", "wrong")]]:
        code, _ = status_of(lambda: echo(b"x", metadata=metadata, timeout=PATIENCE))
        assert code == grpc.StatusCode.UNAUTHENTICATED, code
    assert world.calls.seen == seen


def a_message_beyond_the_limit_is_rejected(world):
    echo = world.channel().unary_unary("/app.Hooks/Echo")
    code, _ = status_of(lambda: echo(bytes(100_000), metadata=GOOD, timeout=PATIENCE))
    assert code != grpc.StatusCode.OK, code


def a_client_that_leaves_ends_the_call(world):
    call = world.channel().unary_stream("/app.Hooks/Wait")(b"one", metadata=GOOD)
    assert next(call) == b"one"
    call.cancel()
    assert world.calls.left.wait(PATIENCE)


CHECKS = named(
    all_four_kinds_of_calls_pass,
    a_conversation_goes_back_and_forth,
    the_status_of_a_call_reaches_its_client,
    a_call_without_a_token_does_not_reach_the_server,
    a_message_beyond_the_limit_is_rejected,
    a_client_that_leaves_ends_the_call,
)

if __name__ == "__main__":
    sys.exit(main(__doc__, Grpc, CHECKS))
