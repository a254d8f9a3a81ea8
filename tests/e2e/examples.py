"""End to end: each folder of examples/ as its README says, in front of the real framework. The provider's own SDK signs.

    python tests/e2e/examples.py --hookgate target/debug/hookgate

Needs the packages of tests/requirements.txt and of examples/express-github, and Debian's php-cli, puma and ruby-sinatra.
"""
import argparse
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
import urllib.parse
import uuid

import httpx
import jwt
import svix.webhooks
from checks import named, rejected, run_checks
from harness import PATIENCE, World, get, rsa_key
from twilio.request_validator import RequestValidator
from webhook_sdks import Request, StandardWebhooks, Stripe

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
# Pages that show files of an example. Of gateway.yaml they have the routes; without containers the application is on loopback.
PAGES = {
    "docs/how-to/docker-compose.md": ("fastapi-stripe", ["compose.yaml", "gateway.yaml"]),
    "docs/tutorials/stripe-fastapi.md": ("fastapi-stripe", ["app.py", "gateway.yaml"]),
    "docs/tutorials/jwt-issuer.md": ("django-jwt", ["gateway.yaml"]),
}
# No serialiser would reproduce it.
EVENT = '{ "id": "ID", "amount": 2000.00,\t"amount" :2E3, "name": "Zo\\u00eb Zoë 🦀" }'
OLD = 3600  # seconds
# Commands of a README that are not run: the packages are there already, and no container engine is.
INSTALLS = ("apt-get ", "docker ", "npm ", "python3 -m venv ")
URL, AUDIENCE = "https://hooks.example.com/webhook", "https://api.example.com/webhook"


def event():
    return EVENT.replace("ID", str(uuid.uuid4())).encode()


def as_json(request):
    return request._replace(headers={**request.headers, "content-type": "application/json"})


# --- the senders: each signs an event, with a secret or a key and an age in seconds -------------------------------------


def of_stripe(world, secret, age=0):
    return as_json(Stripe().request(secret, age=age, body=event()))


def of_svix(world, secret, age=0):
    return as_json(StandardWebhooks("svix", "svix", svix.webhooks.Webhook).request(secret, age=age, body=event()))


def of_github(world, secret):
    """By GitHub's library for Node."""
    script = 'import { sign } from "@octokit/webhooks-methods"; console.log(await sign(process.argv[1], process.argv[2]))'
    body = event()
    command = ["node", "--input-type=module", "--eval", script, secret, body.decode()]
    signed = subprocess.run(command, cwd=EXAMPLES / "express-github", capture_output=True, text=True, check=True, timeout=PATIENCE)
    return as_json(Request(body, {"x-hub-signature-256": signed.stdout.strip(), "x-github-event": "push"}))


def of_twilio(world, secret):
    fields = {"MessageSid": f"SM{uuid.uuid4().hex}", "From": "+15551234567", "Body": "Zoë & co = 100 %"}
    signature = RequestValidator(secret).compute_signature(URL, fields)
    headers = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
    return Request(urllib.parse.urlencode(fields).encode(), headers)


def of_issuer(world, key, age=0):
    """By PyJWT, with the key that `hookgate dev-certs` has made."""
    now = int(time.time()) - age
    claims = {"iss": "https://issuer.localhost/", "aud": AUDIENCE, "event_scope": "webhook", "jti": str(uuid.uuid4()), "exp": now + 300}
    kid = json.loads((world.folder / "certs/issuer.jwks.json").read_text())["keys"][0]["kid"]
    token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})
    return as_json(Request(event(), {"authorization": f"Bearer {token}"}))


# --- an example ---------------------------------------------------------------------------------------------------------


def commands_of(readme):
    """The README's blocks of commands, each with the output that follows it or an empty text."""
    blocks = re.findall(r"((?:^    [^\n]+\n)+)(?:\n```text\n(.*?)\n```)?", readme, re.M | re.S)
    return [([line.strip() for line in commands.splitlines()], output) for commands, output in blocks]


class Example(World):
    """A copy of an example's folder with free ports: its application, and the gateway in front of it."""

    def __init__(self, hookgate, name, sign):
        super().__init__(hookgate)
        self.name, self.sign = name, functools.partial(sign, self)
        untracked = shutil.ignore_patterns("node_modules", "venv", "certs", "secrets", "local.yaml")
        shutil.copytree(EXAMPLES / name, self.folder, dirs_exist_ok=True, ignore=untracked)
        if (EXAMPLES / name / "node_modules").exists():
            (self.folder / "node_modules").symlink_to(EXAMPLES / name / "node_modules")
        blocks = commands_of((self.folder / "README.md").read_text())
        self.requests = [block for block in blocks if block[1]]
        setup = [line for lines, output in blocks if not output for line in lines]
        self.setup = [line for line in setup if not line.startswith(INSTALLS) and not line.endswith(" &")]
        self.app_command, gateway_command = [line.removesuffix(" &") for line in setup if line.endswith(" &")]
        assert gateway_command == "hookgate run local.yaml", gateway_command
        (self.folder / "bin").mkdir()
        (self.folder / "bin/hookgate").symlink_to(self.hookgate)

    def environment(self):
        path = [str(self.folder / "bin"), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        return super().environment() | {"PATH": os.pathsep.join(path), "LC_ALL": "C.UTF-8"}

    def local(self, text):
        """The text with the ports of this run."""
        for port, free in [(8443, self.port), (9901, self.admin_port), (8000, self.app_port)]:
            text = re.sub(rf"\b{port}\b", str(free), text)
        return text

    def prepare(self):
        """Runs the commands of the README that come before its first request."""
        for line in self.setup:
            # It has run already.
            self.bash(line.replace("hookgate dev-certs", "true"))

    def configuration(self):
        return self.local((self.folder / "local.yaml").read_text())

    def start_app(self):
        command = ["bash", "-c", f"exec env {self.local(self.app_command)}"]
        self.start(command, self.app_log, self.folder, lambda: get(self.app_port, "/").status_code == 404)

    def bash(self, line):
        """What a command prints. Its exit code is not compared: `sign --send` fails if the response is a rejection."""
        done = self.shell(["bash", "-c", line])
        return done.stdout + done.stderr

    def secret(self):
        file = "certs/issuer.key" if self.sign.func is of_issuer else f"secrets/{self.name.split('-')[1]}"
        return (self.folder / file).read_text()

    def seen(self):
        """The bodies that the application has printed."""
        return re.findall(rb"^received (.*)$", self.app_log.read_bytes(), re.M)

    def send(self, request, **options):
        return self.post(body=request.body, headers=request.headers, **options)


# --- checks -------------------------------------------------------------------------------------------------------------


def accept(world, request, **options):
    """Asserts that the application gets the request's bytes, once."""
    before = len(world.seen())
    response = world.send(request, **options)
    assert response.status_code == 200 and response.headers.get("server") != "hookgate", (response.headers, response.text)
    assert world.seen()[before:] == [request.body], world.seen()[before:]
    return request


def reject(world, request, reason, status=401, disclosed="unauthorized"):
    """Asserts that the application does not get the request, and that the log has the reason."""
    rejected(world, status, disclosed, body=request.body, headers=request.headers, reason=reason)


def the_application_alone_accepts_a_forgery(world):
    before = len(world.seen())
    response = httpx.post(f"http://127.0.0.1:{world.app_port}/webhook", content=b"forged", trust_env=False)
    assert response.status_code == 200 and world.seen()[before:] == [b"forged"], response.text


def a_genuine_event_arrives_byte_for_byte(world):
    for http2 in [False, True]:
        accept(world, world.sign(world.secret()), http2=http2, http1=not http2)


def a_forgery_is_rejected(world):
    genuine = world.sign(world.secret())
    reject(world, genuine._replace(headers={"content-type": genuine.headers["content-type"]}), "missing_credential")
    wrong = rsa_key() if world.sign.func is of_issuer else world.secret()[:-4] + "AAAA"
    reject(world, world.sign(wrong), "invalid_signature")
    accept(world, genuine)


def a_changed_body_is_rejected(world):
    genuine = world.sign(world.secret())
    reject(world, genuine._replace(body=genuine.body.replace(b"Zo", b"Za")), "invalid_signature")


def a_duplicate_is_acknowledged(world):
    genuine = accept(world, world.sign(world.secret()))
    before = len(world.seen())
    response = world.send(genuine)
    assert (response.status_code, response.content, response.headers["server"]) == (200, b"", "hookgate"), response
    assert world.access_line(response.headers["x-request-id"])["outcome"] == "duplicate_answered"
    assert len(world.seen()) == before, "it reached the upstream"


def a_duplicate_is_rejected(world):
    reject(world, accept(world, world.sign(world.secret())), "duplicate_request", 409, "duplicate_request")


def an_old_event_is_rejected(world):
    reject(world, world.sign(world.secret(), age=OLD), "timestamp_too_old")


def an_expired_token_is_rejected(world):
    reject(world, world.sign(world.secret(), age=OLD), "token_expired", disclosed="token_expired")


def the_health_check_of_compose_is_answered(world):
    """With the host name that it uses, which the admin listener compares."""
    [url] = re.findall(r"http://[^\s\"]+/readyz", (world.folder / "compose.yaml").read_text())
    url = urllib.parse.urlsplit(url)
    response = httpx.get(f"http://127.0.0.1:{world.admin_port}{url.path}", headers={"Host": url.netloc}, trust_env=False)
    assert response.status_code == 200, response


def its_readme_shows_the_responses(world):
    assert len(world.requests) >= 3, world.requests
    for lines, shown in world.requests:
        printed = "".join(world.bash(world.local(line)) for line in lines).strip()
        pattern = ".*".join(re.escape(part) for part in shown.split("…"))
        assert re.fullmatch(pattern, printed), f"{lines} print\n{printed}\nand not\n{shown}"


def outdated_pages():
    """Pages, and the files of which they do not have the present text."""
    for page, (name, files) in PAGES.items():
        text = (EXAMPLES.parent / page).read_text().replace("127.0.0.1:8000", "app:8000")
        for file in files:
            content = (EXAMPLES / name / file).read_text()
            if content[max(content.find("\nroutes:"), 0):] not in text:
                yield f"{page}: not the text of {name}/{file}"


EVERY = [
    the_application_alone_accepts_a_forgery, a_genuine_event_arrives_byte_for_byte, a_forgery_is_rejected,
    the_health_check_of_compose_is_answered, its_readme_shows_the_responses,
]
SIGNED = [*EVERY, a_changed_body_is_rejected]
# The sender, and the checks. GitHub and Twilio sign no time.
TABLE = {
    "fastapi-stripe": (of_stripe, [*SIGNED, a_duplicate_is_acknowledged, an_old_event_is_rejected]),
    "express-github": (of_github, [*SIGNED, a_duplicate_is_rejected]),
    "sinatra-svix": (of_svix, [*SIGNED, a_duplicate_is_acknowledged, an_old_event_is_rejected]),
    "django-jwt": (of_issuer, [*EVERY, a_duplicate_is_rejected, an_expired_token_is_rejected]),
    "php-twilio": (of_twilio, [*SIGNED, a_duplicate_is_rejected]),
}


def run(hookgate, name):
    """The number of checks, and of those that failed."""
    sign, checks = TABLE[name]
    checks = {f"{name}: {label}": check for label, check in named(*checks).items()}
    try:
        with Example(hookgate, name, sign) as world:
            return len(checks), run_checks(world, checks)
    except Exception:
        print(f"FAIL  {name}: the start\n{traceback.format_exc()}", flush=True)
        return len(checks), len(checks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hookgate", required=True, help="the binary")
    parser.add_argument("examples", nargs="*", default=list(TABLE), help="names of folders; all by default")
    options = parser.parse_args()
    # On SIGTERM, the started processes are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    listed = {path.parent.name for path in EXAMPLES.glob("*/gateway.yaml")}
    assert listed == set(TABLE), f"not tested, or gone: {listed ^ set(TABLE)}"
    outdated = list(outdated_pages())
    print(*(f"FAIL  {problem}" for problem in outdated), sep="\n", end="\n" if outdated else "")
    results = [(len(PAGES), len(outdated))] + [run(options.hookgate, name) for name in options.examples]
    total, failed = (sum(column) for column in zip(*results))
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
