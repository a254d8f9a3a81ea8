"""A sender with access tokens of an OpenID provider (oidc/provider.mjs), whose keys the gateway finds by discovery."""
import json
import pathlib
import secrets
import signal

import httpx
import jwt
from checks import named, passed, rejected
from harness import AUDIENCE, PATIENCE, Issuer, get, until

OPAQUE = "https://opaque.test/"
# The same provider twice: keys are fetched only for an unknown key, or refreshed all the time.
LAZY, EAGER = "oidc", "oidc-eager"


class Provider:
    """The Node process, and the requests of a sender to it."""

    def __init__(self, world):
        self.world, self.port, self.process, self.starts = world, 0, None, 0
        self.client = {"id": "shop", "secret": secrets.token_urlsafe(32)}
        world.secrets.append(self.client["secret"])

    def start(self):
        """Starts the provider, on its former port if it had one."""
        settings = json.dumps({"port": self.port, "client": self.client, "opaque": OPAQUE})
        log = self.world.folder / f"provider{self.starts}.log"
        here = pathlib.Path(__file__).parent / "oidc"

        def serves():
            said = [line for line in log.read_text().splitlines() if line.startswith('{"port":')]
            self.port = json.loads(said[0])["port"] if said else self.port
            return said

        self.starts += 1
        self.process = self.world.start(["node", "provider.mjs", settings], log, here, serves)
        self.iss = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)

    def published(self):
        """The ids of its keys; the first one signs."""
        return [key["kid"] for key in get(self.port, "/jwks").json()["keys"]]

    def rotate(self):
        """A new key signs, the old ones stay published."""
        before = self.published()
        self.process.send_signal(signal.SIGHUP)
        until("one more key is published", lambda: self.published()[1:] == before)

    def retire(self):
        """Only the key that signs stays published."""
        before = self.published()
        self.process.send_signal(signal.SIGUSR2)
        until("the old keys are gone", lambda: self.published() == before[:1])

    def token(self, scope="webhook", resource=AUDIENCE):
        form = {"grant_type": "client_credentials", "resource": resource, **({"scope": scope} if scope else {})}
        credentials = tuple(self.client.values())
        response = httpx.post(f"{self.iss}/token", data=form, auth=credentials, trust_env=False)
        assert response.status_code == 200 and response.json()["token_type"] == "Bearer", response.text
        return response.json()["access_token"]


def prepare(world):
    world.provider = Provider(world)
    world.provider.start()
    document = f"{world.provider.iss}/.well-known/openid-configuration"
    lazy = {"discovery": True, "refresh_interval": "1h"}
    eager = {"discovery_url": document, "refresh_interval": "500ms"}
    scope = {"scope": {"contains": "webhook"}}
    # RFC 9068 §2.2: an access token names its client.
    receivers = {
        LAZY: (lazy, {"audience": AUDIENCE, "claims": scope}),
        EAGER: (eager, {"audience": "none", "claims": {"client_id": "shop", **scope}}),
    }
    for name, (keys, rules) in receivers.items():
        keys = {"cooldown": "200ms", **keys}
        world.issuers[name] = {"issuer": world.provider.iss, "algorithms": ["ES256"], "jwks": keys}
        world.add_route(name, {"jwt": {"issuer": name, "allowed_types": ["at+jwt"], **rules}})


def to(route):
    return {"headers": {"Host": f"{route}.test"}}


def kid(token):
    return jwt.get_unverified_header(token)["kid"]


def reason(response):
    return response.json()["reason"]


def not_known(world, route, token):
    """Within the cooldown of the last fetch for an unknown key, the response is 503."""
    name = f'hookgate_requests_total{{outcome="rejected",reason="unknown_key",route="{route}",status="401"}}'
    before, seen = world.metric(name) or 0, len(world.seen())
    until("the key is not known", lambda: reason(world.post(token, **to(route))) == "unauthorized")
    assert world.metric(name) == before + 1 and len(world.seen()) == seen


def forged_token(world, **headers):
    """A token in the form of the provider's, signed with another key."""
    issuer = Issuer(algorithms=["ES256"], iss=world.provider.iss)
    return issuer.token("ES256", headers={"typ": "at+jwt", **headers}, scope="webhook")


def accepted(world, route, token):
    return world.post(token, **to(route)).status_code == 200


def until_accepted(world, route, token):
    until(f"the key is accepted on {route}", lambda: accepted(world, route, token))


def fetches(world, route, result="success"):
    return world.metric(f'hookgate_jwks_refreshes_total{{issuer="{route}",result="{result}"}}') or 0


# --- checks, in their order -------------------------------------------------------------------------------------------


def a_fetched_token_passes(world):
    token = world.provider.token()
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    assert (header["typ"], header["alg"], header["kid"]) == ("at+jwt", "ES256", world.provider.published()[0])
    assert (claims["iss"], claims["aud"], claims["scope"]) == (world.provider.iss, AUDIENCE, "webhook")
    for route in [LAZY, EAGER]:
        for http2 in [False, True]:
            passed(world, token, http2=http2, http1=not http2, **to(route))
    passed(world, world.provider.token(scope="billing webhook"), **to(LAZY))


def a_token_without_the_scope_is_forbidden(world):
    for scope in [None, "billing"]:
        response = rejected(world, 403, "claim_mismatch", world.provider.token(scope=scope), **to(LAZY))
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"], response.headers


def a_token_for_another_resource_is_rejected(world):
    token = world.provider.token(resource="https://other.test/")
    rejected(world, 401, "invalid_audience", token, **to(LAZY))
    passed(world, token, **to(EAGER))


def an_opaque_token_is_rejected(world):
    token = world.provider.token(resource=OPAQUE)
    rejected(world, 401, "unauthorized", token, reason="malformed_token", **to(LAZY))


def a_token_of_another_type_is_rejected(world):
    """The route accepts access tokens only (RFC 9068 §4), independent of the signature."""
    token = forged_token(world, kid=world.provider.published()[0], typ="JWT")
    rejected(world, 401, "unauthorized", token, reason="malformed_token", **to(LAZY))


def another_key_under_the_published_id_is_rejected(world):
    token = forged_token(world, kid=world.provider.published()[0])
    rejected(world, 401, "unauthorized", token, reason="invalid_signature", **to(LAZY))


def a_new_key_is_found_with_one_fetch(world):
    old, before = world.provider.token(), fetches(world, LAZY)
    passed(world, old, **to(LAZY))
    world.provider.rotate()
    new = world.provider.token()
    assert kid(new) != kid(old)
    passed(world, old, **to(LAZY))
    assert fetches(world, LAZY) == before
    until_accepted(world, LAZY, new)
    assert fetches(world, LAZY) == before + 1
    for token in [new, old, new]:
        passed(world, token, **to(LAZY))
    assert fetches(world, LAZY) == before + 1


def an_old_key_is_rejected_after_its_removal_from_the_set(world):
    old = world.provider.token()
    world.provider.rotate()
    new = world.provider.token()
    for route in [LAZY, EAGER]:
        until_accepted(world, route, new)
        until_accepted(world, route, old)
    world.provider.retire()
    before = fetches(world, LAZY)
    # The keys are not fetched again.
    passed(world, old, **to(LAZY))
    assert fetches(world, LAZY) == before
    # The next periodic refresh removes the key.
    until("the keys are refreshed", lambda: not accepted(world, EAGER, old))
    not_known(world, EAGER, old)
    passed(world, new, **to(EAGER))
    # Without refresh, the next unknown key causes a fetch.
    world.provider.rotate()
    new = world.provider.token()
    until_accepted(world, LAZY, new)
    not_known(world, LAZY, old)
    passed(world, new, **to(LAZY))


def known_keys_work_while_the_provider_is_down(world):
    token = world.provider.token()
    for route in [LAZY, EAGER]:
        until_accepted(world, route, token)
    world.kept = token
    failed = fetches(world, EAGER, "error")
    world.provider.stop()
    until("a refresh has failed twice", lambda: fetches(world, EAGER, "error") >= failed + 2)
    for route in [LAZY, EAGER]:
        passed(world, token, **to(route))


def an_unknown_key_gets_503_while_the_provider_is_down(world):
    token = forged_token(world, kid="unpublished")
    for route in [LAZY, EAGER]:
        until("a fetch has failed", lambda route=route: reason(world.post(token, **to(route))) == "jwks_unavailable")
        response = rejected(world, 503, "jwks_unavailable", token, outcome="error", **to(route))
        assert response.headers["retry-after"] == "10"
        passed(world, world.kept, **to(route))


def a_provider_that_comes_back_with_other_keys_is_trusted(world):
    world.provider.start()
    token = world.provider.token()
    assert kid(token) != kid(world.kept)
    for route in [LAZY, EAGER]:
        until_accepted(world, route, token)
        passed(world, token, **to(route))
        not_known(world, route, world.kept)
    not_known(world, LAZY, forged_token(world, kid="unpublished"))


CHECKS = {f"oidc: {name}": check for name, check in named(
    a_fetched_token_passes, a_token_without_the_scope_is_forbidden, a_token_for_another_resource_is_rejected,
    an_opaque_token_is_rejected, a_token_of_another_type_is_rejected,
    another_key_under_the_published_id_is_rejected,
    a_new_key_is_found_with_one_fetch, an_old_key_is_rejected_after_its_removal_from_the_set,
    known_keys_work_while_the_provider_is_down, an_unknown_key_gets_503_while_the_provider_is_down,
    a_provider_that_comes_back_with_other_keys_is_trusted,
).items()}
