"""Sends the inputs of docs/concepts/leniency.md to nginx, HAProxy, Envoy and hookgate.

    PATH=$PATH:/usr/sbin python3 bench/leniency.py --hookgate target/debug/hookgate --envoy path/to/envoy

Each proxy runs on 127.0.0.1 with its defaults, as a plain reverse proxy in front of an upstream that records the bytes
that it gets. For each input the table has the status of the response, and what reached the upstream. A proxy that is not
installed is left out.
"""

import argparse
import base64
import contextlib
import hmac
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

PATIENCE = 3  # seconds for a response; a proxy that waits for more bytes is cut off after it
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
PLAIN = b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def post(fields=b"", body=b"", line=b"POST /a HTTP/1.1", host=b"Host: localhost\r\n"):
    close = b"" if b"Connection:" in fields else b"Connection: close\r\n"
    return line + b"\r\n" + host + fields + close + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"

# Name → bytes of the request. The upstream answers 200.
REQUESTS = {
    "plain": post(b"Content-Length: 2\r\n", b"{}"),
    "Upgrade: h2c": post(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n", b"{}"),
    "Upgrade: TLS/1.0": post(b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\nContent-Length: 2\r\n", b"{}"),
    "half-closed (FIN)": post(b"Content-Length: 2\r\n", b"{}"),
    "bare LF": post(b"X-A: 1\n"),
    "all lines end in bare LF": b"POST /a HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "bare CR in a value": post(b"X-A: 1\rX-B: 2\r\n"),
    "NUL in a value": post(b"X-A: 1\x002\r\n"),
    "obs-fold": post(b"X-A: 1\r\n 2\r\n"),
    "space before the colon": post(b"X-A : 1\r\n"),
    "OWS around a value": post(b"X-A: \t 1 \t \r\n"),
    "space in a name": post(b"X A: 1\r\n"),
    "name with an underscore": post(b"X_A: 1\r\n"),
    "empty list members": post(b"Connection: ,, ,close,\r\n"),
    "one empty line before": b"\r\n" + post(),
    "two empty lines before": b"\r\n\r\n" + post(),
    "absolute form": post(line=b"POST http://localhost/a HTTP/1.1"),
    "absolute form against Host": post(line=b"POST http://other/a HTTP/1.1"),
    "Host twice, equal": post(b"Host: localhost\r\n"),
    "no Host": post(host=b""),
    "Host with a final dot": post(host=b"Host: localhost.\r\n"),
    "Host in capitals": post(host=b"Host: LOCALHOST\r\n"),
    "Host with user information": post(host=b"Host: a@localhost\r\n"),
    "Host [::1]": post(host=b"Host: [::1]\r\n"),
    "Content-Length twice, equal": post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "Content-Length list, equal": post(b"Content-Length: 2, 2\r\n", b"{}"),
    "Content-Length: +2": post(b"Content-Length: +2\r\n", b"{}"),
    "Content-Length: 02": post(b"Content-Length: 02\r\n", b"{}"),
    "Content-Length and chunked": post(b"Content-Length: 2\r\n" + CHUNKED, END),
    "Transfer-Encoding: Chunked": post(b"Transfer-Encoding: Chunked\r\n", END),
    "Transfer-Encoding: gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", END),
    "Transfer-Encoding: identity": post(b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n", b"{}"),
    "Transfer-Encoding twice": post(CHUNKED + CHUNKED, END),
    "Transfer-Encoding in HTTP/1.0": post(CHUNKED, END, line=b"POST /a HTTP/1.0"),
    "chunk extension": post(CHUNKED, b"2;a=b\r\n{}\r\n0\r\n\r\n"),
    "space after a chunk size": post(CHUNKED, b"2 \r\n{}\r\n0\r\n\r\n"),
    "bare LF in chunks": post(CHUNKED, b"2\n{}\n0\n\n"),
    "trailers": post(CHUNKED, b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "HTTP/1.0": post(line=b"POST /a HTTP/1.0"),
    "HTTP/1.2": post(line=b"POST /a HTTP/1.2"),
    "unknown method": post(line=b"PURGE /a HTTP/1.1"),
    "method in lower case": post(line=b"post /a HTTP/1.1"),
    "GET with a body": post(b"Content-Length: 2\r\n", b"{}", line=b"GET /a HTTP/1.1"),
    "POST without a length": post(),
    "OPTIONS *": post(line=b"OPTIONS * HTTP/1.1"),
    "CONNECT": post(line=b"CONNECT localhost:80 HTTP/1.1"),
    "TRACE": post(line=b"TRACE /a HTTP/1.1"),
    "two spaces in the request line": post(line=b"POST  /a HTTP/1.1"),
    "Expect: 100-continue": post(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"{}"),
    "unknown expectation": post(b"Expect: other\r\nContent-Length: 2\r\n", b"{}"),
    "UTF-8 in a value": post("X-A: caf\u00e9\r\n".encode()),
    "ISO-8859-1 in a value": post(b"X-A: caf\xe9\r\n"),
    "20 KiB value": post(b"X-A: " + b"a" * 20_000 + b"\r\n"),
    'query with "': post(line=b'POST /a?ids=["1"] HTTP/1.1'),
    "query with < >": post(line=b"POST /a?<b> HTTP/1.1"),
    "query with { } | ^ ` \\": post(line=b"POST /a?{}|^`\\ HTTP/1.1"),
    "query with UTF-8": post(line="POST /a?\u00e9 HTTP/1.1".encode()),
    "query with ISO-8859-1": post(line=b"POST /a?\xe9 HTTP/1.1"),
    "query with a raw space": post(line=b"POST /a?b c HTTP/1.1"),
    'path with "': post(line=b'POST /a" HTTP/1.1'),
    "path with < >": post(line=b"POST /a<b> HTTP/1.1"),
    "path with UTF-8": post(line="POST /\u00e9 HTTP/1.1".encode()),
    "fragment": post(line=b"POST /a#b HTTP/1.1"),
    "%2F in the path": post(line=b"POST /a%2Fb HTTP/1.1"),
    "// in the path": post(line=b"POST /a//b HTTP/1.1"),
    "/./ in the path": post(line=b"POST /a/./b HTTP/1.1"),
    "/../ in the path": post(line=b"POST /a/../b HTTP/1.1"),
    "\\ in the path": post(line=b"POST /a\\b HTTP/1.1"),
    "; in the path": post(line=b"POST /a;b HTTP/1.1"),
    "%00 in the path": post(line=b"POST /a%00 HTTP/1.1"),
}

# Name → bytes of the upstream's response to a plain request.
RESPONSES = {
    "Content-Length below the chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Content-Length beyond the chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Content-Length twice, equal": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "Content-Length list, equal": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "Content-Length twice, different": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhello",
    "Transfer-Encoding: gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "Transfer-Encoding: Chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "no length": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n5\r\nhello\r\n0\r\nETag: x\r\n\r\n",
    "chunk extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    "103 before 200": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "101 without an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 5\r\n\r\nhello",
    "space before the colon": b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 5\r\n\r\nhello",
    "bytes after the response": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
    "closed before its length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
}

SECRET = "a shared secret of at least 32 bytes"
CLAIMS = '{"iss":"https://issuer.test/","aud":"api","exp":4102444800,"nbf":1700000000,"sub":"s"MORE}'


def b64(data, pad=False):
    text = base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    return text if pad else text.rstrip(b"=")


def token(more="", claims=CLAIMS, header='{"alg":"HS256","typ":"JWT"}', pad=False):
    """A token with a correct signature over its parts as they are."""
    signed = b64(header, pad) + b"." + b64(claims.replace("MORE", more) if isinstance(claims, str) else claims, pad)
    return signed + b"." + b64(hmac.digest(SECRET.encode(), signed, "sha256"), pad)


def unused_bits(good):
    """The last character of the signature with another value of the two bits that belong to no byte."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1 :][:1]


# Name → value of Authorization. The signature of each token is correct.
TOKENS = {
    "plain": b"Bearer " + token(),
    "bearer": b"bearer " + token(),
    "BEARER": b"BEARER " + token(),
    "two spaces": b"Bearer  " + token(),
    "a tab for the space": b"Bearer\t" + token(),
    "no scheme": token(),
    "another credential after a comma": b"Bearer " + token() + b", Basic YTpi",
    "quotes": b'Bearer "' + token() + b'"',
    "padding": b"Bearer " + token(pad=True),
    "unused bits": b"Bearer " + unused_bits(token()),
    "a space inside": b"Bearer " + token().replace(b".", b". ", 1),
    "four parts": b"Bearer " + token() + b".",
    "exp twice": b"Bearer " + token(',"exp":1'),
    "exp twice, by an escape": b"Bearer " + token(',"\\u0065xp":1'),
    "another member twice": b"Bearer " + token(',"x":1,"x":2'),
    "a lone surrogate": b"Bearer " + token(',"x":"\\ud83d"'),
    "1e999": b"Bearer " + token(',"x":1e999'),
    "a number of 40 digits": b"Bearer " + token(',"x":' + "1" * 40),
    "40 levels": b"Bearer " + token(',"x":' + "[" * 40 + "]" * 40),
    "NaN": b"Bearer " + token(',"x":NaN'),
    "a trailing comma": b"Bearer " + token(","),
    "a comment": b"Bearer " + token("/**/"),
    "a byte order mark": b"Bearer " + token(claims="\ufeff" + CLAIMS),
    "invalid UTF-8": b"Bearer " + token(claims=CLAIMS.replace("MORE", ',"x":"Y"').encode().replace(b"Y", b"\xff")),
    "bytes after the end": b"Bearer " + token(claims=CLAIMS + "x"),
    "exp as a string": b"Bearer " + token(claims=CLAIMS.replace("4102444800", '"4102444800"')),
    "exp with a fraction": b"Bearer " + token(claims=CLAIMS.replace("4102444800", "4102444800.5")),
    "exp with an exponent": b"Bearer " + token(claims=CLAIMS.replace("4102444800", "4.1024448e9")),
    "crit": b"Bearer " + token(header='{"alg":"HS256","crit":["x"],"x":1}'),
    "no typ": b"Bearer " + token(header='{"alg":"HS256"}'),
    "alg in lower case": b"Bearer " + token(header='{"alg":"hs256"}'),
}

NGINX = """
daemon off; master_process off; pid FOLDER/pid; error_log FOLDER/error.log;
events {}
http {
  access_log off; client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f;
  uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s; large_client_header_buffers 4 64k;
  server { listen 127.0.0.1:PORT; location / { proxy_pass http://127.0.0.1:APP; proxy_http_version 1.1; } }
}
"""
HAPROXY = """
global
  tune.bufsize 65536
defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 2s
listen l
  bind 127.0.0.1:PORT
  server s 127.0.0.1:APP
"""
ENVOY = """
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: PORT } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          route_config:
            virtual_hosts: [ { name: v, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: c } } ] } ]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: c
    load_assignment:
      cluster_name: c
      endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: APP } } } } ] } ]
"""
HOOKGATE = """
listeners: [ { address: "127.0.0.1:PORT", plaintext: true } ]
routes:
  - { name: all, match: { path: /* }, auth: public, upstream: { url: "http://127.0.0.1:APP", timeouts: { total: 2s } } }
"""

HAPROXY_JWT = HAPROXY + f"""
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str HS256 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{SECRET}") -m int 1 }}
  http-request deny deny_status 401 unless {{ var(txn.exp) -m int gt 1800000000 }}
"""
ENVOY_JWT = ENVOY.replace("          - name: envoy.filters.http.router", f"""\
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                p:
                  issuer: https://issuer.test/
                  audiences: [ api ]
                  local_jwks: {{ inline_string: '{{"keys":[{{"kty":"oct","alg":"HS256","k":"{b64(SECRET).decode()}"}}]}}' }}
              rules: [ {{ match: {{ prefix: / }}, requires: {{ provider_name: p }} }} ]
          - name: envoy.filters.http.router""")
HOOKGATE_JWT = HOOKGATE.replace("auth: public", """auth: { jwt: { issuer: i, audience: api } }, replay_protection: disabled""") + """
issuers: { i: { issuer: "https://issuer.test/", algorithms: [HS256], secret: { file: secret } } }
"""


class Upstream:
    """Records the bytes of each request, and answers with `response`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.seen, self.response = [], OK
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            stream, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(stream,), daemon=True).start()

    def answer(self, stream):
        with stream, contextlib.suppress(OSError):
            stream.settimeout(1)
            data = b""
            while not complete(data):
                more = stream.recv(65536)
                if not more:
                    break
                data += more
            if data:
                self.seen.append(data)
                stream.sendall(self.response)


def complete(data):
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    if re.search(rb"(?i)\ntransfer-encoding:", head):
        return body.endswith(b"0\r\n\r\n") or b"\r\n0\r\n" in b"\r\n" + body and body.endswith(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
    return len(body) >= int(length[1] if length else 0)


def exchange(port, data, half_close=False):
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.settimeout(PATIENCE)
        answer = b""
        with contextlib.suppress(OSError):
            stream.sendall(data)
            if half_close:
                stream.shutdown(socket.SHUT_WR)
            while more := stream.recv(65536):
                answer += more
        return answer


def status(answer):
    found = re.findall(rb"(?:^|\n)HTTP/1\.\d (\d{3})", answer)
    return "+".join(code.decode() for code in found) or "closed"


def interesting(data):
    """The request line, and the headers and framing that the inputs are about."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    kept = re.compile(r"(?i)(x[-_ ]a|x-b|x-sum|host|content-length|transfer-encoding|upgrade|http2-settings|expect|trailer)\b.*:")
    fields = [line if len(line) < 60 else line[:20] + "…" for line in lines[1:] if kept.match(line) and not re.match("(?i)host: (127|localhost$|s$|c$)", line)]
    text = ascii("; ".join([lines[0].rsplit(" ", 1)[0], *fields]))[1:-1]
    return text + (f"; body {ascii(body.decode('latin-1'))}" if body else "")


def cell(answer, seen):
    return status(answer) + (" ← " + " ∥ ".join(map(interesting, seen)) if seen else "")


def response_cell(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = [line.decode("latin-1") for line in head.split(b"\r\n")[1:] if re.match(rb"(?i)(content-length|transfer-encoding|x-a|link)", line)]
    return status(answer) + (f" ({'; '.join(fields)}) body {ascii(body[:60].decode('latin-1'))}" if status(answer)[-3:] in ("200", "204", "101") else "")


@contextlib.contextmanager
def proxy(name, command, config, app, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = folder / name
    place.mkdir()
    (place / "secret").write_text(SECRET)
    path = place / "config.yaml"
    path.write_text(config.replace("PORT", str(port)).replace("APP", str(app)).replace("FOLDER", str(place)))
    with open(place / "log", "wb") as log:
        process = subprocess.Popen([*command, str(path)], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{name} does not start:\n{(place / 'log').read_text()}")
        yield port
    finally:
        process.terminate()
        process.wait()


def table(title, peers, rows):
    print(f"\n| {title} | " + " | ".join(peers) + " |\n" + "|---" * (len(peers) + 1) + "|")
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(text.replace("|", "\\|") for text in cells) + " |", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--hookgate", default="target/debug/hookgate")
    arguments.add_argument("--envoy", default=shutil.which("envoy"))
    arguments = arguments.parse_args()
    peers = {
        "nginx": (["nginx", "-c"], NGINX),
        "HAProxy": (["haproxy", "-db", "-f"], HAPROXY),
        "Envoy": ([arguments.envoy or "envoy", "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id", "-c"], ENVOY),
        "hookgate": ([arguments.hookgate, "run", "--config"], HOOKGATE),
    }
    upstream = Upstream()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {
            name: stack.enter_context(proxy(name, command, config, upstream.port, folder))
            for name, (command, config) in peers.items()
            if shutil.which(command[0])
        }

        def requests():
            for name, data in REQUESTS.items():
                cells = []
                for port in ports.values():
                    upstream.seen.clear()
                    answer = exchange(port, data, "FIN" in name)
                    cells.append(cell(answer, upstream.seen))
                yield name, cells

        def responses():
            for name, data in RESPONSES.items():
                upstream.response = data
                yield name, [response_cell(exchange(port, PLAIN)) for port in ports.values()]

        table("request", ports, requests())
        table("response of the upstream", ports, responses())
        upstream.response = OK
        verifiers = {"HAProxy": HAPROXY_JWT, "Envoy": ENVOY_JWT, "hookgate": HOOKGATE_JWT}
        ports = {
            name: stack.enter_context(proxy(name + "-jwt", peers[name][0], config, upstream.port, folder))
            for name, config in verifiers.items()
            if name in ports
        }

        def tokens():
            for name, value in TOKENS.items():
                head = post(b"Authorization: " + value + b"\r\n")
                yield name, [status(exchange(port, head)) for port in ports.values()]

        table("Authorization", ports, tokens())


if __name__ == "__main__":
    main()
