"""Weak webhook endpoints as they are found in FastAPI applications, one weakness each where that is possible.

gallery.yaml names the weakness of each path. Never copy code from here.
"""
import base64
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import time
import traceback

import jwt
import stripe
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

STRIPE, GITHUB = os.environ["STRIPE_SECRET"], os.environ["GITHUB_SECRET"].encode()
STANDARD = base64.b64decode(os.environ["STANDARD_SECRET"].removeprefix("whsec_"))
OLD_GITHUB = os.getenv("OLD_GITHUB_SECRET", "").encode()  # not set
KEYS = pathlib.Path(os.environ["KEYS"])
PUBLIC = (KEYS / "issuer.pub.pem").read_bytes()
ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]
LIMIT = 1 << 20

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
seen = set()


# --- parts that are right ---------------------------------------------------------------------------------------------


async def body(request):
    """The bytes of the body, within the limit."""
    if int(request.headers.get("content-length", LIMIT + 1)) > LIMIT:
        raise HTTPException(413)
    return await request.body()


def event(raw):
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise HTTPException(400) from None


def processed(key):
    """Carries out the event; 409 for a duplicate."""
    if key in seen:
        raise HTTPException(409)
    seen.add(key)
    return {"processed": True}


def hexdigest(secret, raw, algorithm=hashlib.sha256):
    return hmac.new(secret, raw, algorithm).hexdigest()


def same(expected, given):
    return hmac.compare_digest(expected.encode(), given.encode())


def github(request, raw, secrets=(GITHUB,)):
    given = request.headers.get("x-hub-signature-256", "")
    if not any(same("sha256=" + hexdigest(secret, raw), given) for secret in secrets):
        raise HTTPException(401)


def stripe_parts(request):
    pairs = [pair.partition("=") for pair in request.headers.get("stripe-signature", "").split(",")]
    parts = {key: value for key, _, value in pairs}
    if not parts.get("t", "").isdigit():
        raise HTTPException(401)
    return parts


def bearer(request):
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise HTTPException(401)
    return token


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def verified(token, required=("iss", "aud", "exp", "jti"), **options):
    """The claims of a token; 401 unless everything is right that the options do not leave out."""
    issuer = ISSUER if options.get("verify_iss", True) else None
    audience = AUDIENCE if options.get("verify_aud", True) else None
    try:
        whole = jwt.decode_complete(token, PUBLIC, algorithms=["RS256"], issuer=issuer, audience=audience,
                                    options={"require": list(required), **options})
        payload = token.split(".")[1]
        json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), object_pairs_hook=unique)
    except (jwt.PyJWTError, ValueError):
        raise HTTPException(401) from None
    if "crit" in whole["header"] or whole["header"].get("typ", "JWT") not in {"JWT", "at+jwt"}:
        raise HTTPException(401)
    return whole["payload"]


def scoped(claims):
    if claims.get("event_scope") != "webhook":
        raise HTTPException(403)
    return claims


# --- no credential, or its presence -----------------------------------------------------------------------------------


@app.post("/unsigned")
@app.post("/protected/stripe")
@app.post("/protected/github")
@app.post("/protected/jwt")
async def unsigned(request: Request):
    """Also what runs behind the gateway."""
    event(await body(request))
    return {"processed": True}


@app.post("/bearer-presence")
async def bearer_presence(request: Request):
    bearer(request)
    event(await body(request))
    return {"processed": True}


@app.post("/signature-presence")
async def signature_presence(request: Request):
    if not request.headers.get("stripe-signature"):
        raise HTTPException(401)
    event(await body(request))
    return {"processed": True}


# --- signatures -------------------------------------------------------------------------------------------------------


@app.post("/parsed-body")
async def parsed_body(request: Request):
    """Signs only the members that it knows."""
    parsed = event(await body(request))
    known = {name: parsed.get(name) for name in ["id", "type"]} if isinstance(parsed, dict) else {}
    github(request, json.dumps(known, separators=(",", ":")).encode())
    return processed(("parsed-body", json.dumps(parsed)))


@app.post("/prefix")
async def prefix(request: Request):
    raw, given = await body(request), request.headers.get("x-hub-signature-256")
    if given is None or not hexdigest(GITHUB, raw).startswith(given.removeprefix("sha256=")):
        raise HTTPException(401)
    return {"processed": True}


@app.post("/equals")
async def equals(request: Request):
    raw = await body(request)
    if "sha256=" + hexdigest(GITHUB, raw) != request.headers.get("x-hub-signature-256"):
        raise HTTPException(401)
    return processed(("equals", raw))


@app.post("/slow-equals")
async def slow_equals(request: Request):
    """Compares character by character, each by a slow hash, and ends at the first that differs."""
    raw = await body(request)
    given = request.headers.get("x-hub-signature-256", "")
    hashed = lambda character: hashlib.pbkdf2_hmac("sha256", character.encode(), b"salt", 100)
    for right, sent in itertools.zip_longest("sha256=" + hexdigest(GITHUB, raw), given, fillvalue=""):
        if hashed(right) != hashed(sent):
            raise HTTPException(401)
    return processed(("slow-equals", raw))


@app.post("/unset-secret")
async def unset_secret(request: Request):
    """During a rotation; the variable of the old secret is not set."""
    raw = await body(request)
    github(request, raw, secrets=(GITHUB, OLD_GITHUB))
    return processed(("unset-secret", raw))


@app.post("/sha1")
async def sha1(request: Request):
    raw, older = await body(request), request.headers.get("x-hub-signature")
    if older is None:
        github(request, raw)
    elif not same("sha1=" + hexdigest(GITHUB, raw, hashlib.sha1), older):
        raise HTTPException(401)
    return processed(("sha1", raw))


@app.post("/v0")
async def v0(request: Request):
    raw, parts = await body(request), stripe_parts(request)
    expected = hexdigest(STRIPE.encode(), parts["t"].encode() + b"." + raw)
    if not same(expected, parts.get("v1") or parts.get("v0", "")) or abs(time.time() - int(parts["t"])) > 300:
        raise HTTPException(401)
    return processed(("v0", event(raw)["id"]))


@app.post("/ignored-result")
async def ignored_result(request: Request):
    """Catches what the SDK raises, and goes on."""
    raw = await body(request)
    if not request.headers.get("stripe-signature", "").startswith("t="):
        raise HTTPException(401)
    try:
        stripe.Webhook.construct_event(raw, request.headers["stripe-signature"], STRIPE)
    except (ValueError, stripe.SignatureVerificationError):
        pass
    event(raw)
    return {"processed": True}


@app.post("/no-clock")
async def no_clock(request: Request):
    raw, parts = await body(request), stripe_parts(request)
    if not same(hexdigest(STRIPE.encode(), parts["t"].encode() + b"." + raw), parts.get("v1", "")):
        raise HTTPException(401)
    return processed(("no-clock", event(raw)["id"]))


@app.post("/sdk-alone")
async def sdk_alone(request: Request):
    """The SDK as its documentation shows it: it rejects only an old timestamp, and knows no duplicates."""
    try:
        stripe.Webhook.construct_event(await body(request), request.headers.get("stripe-signature", ""), STRIPE)
    except (ValueError, stripe.SignatureVerificationError):
        raise HTTPException(400) from None
    return {"processed": True}


@app.post("/uncovered-timestamp")
async def uncovered_timestamp(request: Request):
    raw, sent = await body(request), request.headers.get("x-timestamp", "")
    if not sent.isdigit() or abs(time.time() - int(sent)) > 300:
        raise HTTPException(401)
    if not same(hexdigest(GITHUB, raw), request.headers.get("x-signature", "")):
        raise HTTPException(401)
    return {"processed": True}


@app.post("/no-dedupe")
async def no_dedupe(request: Request):
    github(request, await body(request))
    return {"processed": True}


@app.post("/unsigned-id")
async def unsigned_id(request: Request):
    github(request, await body(request))
    return processed(("unsigned-id", request.headers.get("x-github-delivery")))


@app.post("/id-first")
async def id_first(request: Request):
    """Stores the id before it has the body: what breaks off is lost."""
    message, sent = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    given = request.headers.get("webhook-signature", "")
    if not given.startswith("v1,") or not sent.isdigit() or abs(time.time() - int(sent)) > 300:
        raise HTTPException(401)
    processed(("id-first", message))
    raw = await body(request)
    signature = hmac.new(STANDARD, f"{message}.{sent}.".encode() + raw, hashlib.sha256).digest()
    if not same("v1," + base64.b64encode(signature).decode(), given):
        seen.discard(("id-first", message))
        raise HTTPException(401)
    return {"processed": True}


@app.post("/expected-signature")
async def expected_signature(request: Request):
    raw, given = await body(request), request.headers.get("x-hub-signature-256", "")
    expected = "sha256=" + hexdigest(GITHUB, raw)
    if not same(expected, given):
        return JSONResponse({"error": "wrong signature", "expected": expected, "given": given}, 401)
    return processed(("expected-signature", raw))


# --- tokens -----------------------------------------------------------------------------------------------------------


async def of_token(request, name, claims):
    event(await body(request))
    return processed((name, claims.get("jti")))


@app.post("/jwt/unverified")
async def jwt_unverified(request: Request):
    try:
        claims = jwt.decode(bearer(request), options={"verify_signature": False})
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE or claims.get("exp", 0) < time.time():
        raise HTTPException(401)
    scoped(claims)
    return {"processed": True}


@app.post("/jwt/naive")
async def jwt_naive(request: Request):
    """PyJWT as in many tutorials, with audience and issuer."""
    try:
        jwt.decode(bearer(request), PUBLIC, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    return {"processed": True}


@app.post("/jwt/no-audience")
async def jwt_no_audience(request: Request):
    claims = verified(bearer(request), ["iss", "exp", "jti"], verify_aud=False)
    return await of_token(request, "no-audience", scoped(claims))


@app.post("/jwt/optional-audience")
async def jwt_optional_audience(request: Request):
    claims = verified(bearer(request), ["iss", "exp", "jti"], verify_aud=False)
    if claims.get("aud", AUDIENCE) != AUDIENCE:
        raise HTTPException(401)
    return await of_token(request, "optional-audience", scoped(claims))


@app.post("/jwt/no-issuer")
async def jwt_no_issuer(request: Request):
    claims = verified(bearer(request), ["aud", "exp", "jti"], verify_iss=False)
    return await of_token(request, "no-issuer", scoped(claims))


@app.post("/jwt/no-expiry")
async def jwt_no_expiry(request: Request):
    claims = verified(bearer(request), ["iss", "aud", "jti"], verify_exp=False)
    return await of_token(request, "no-expiry", scoped(claims))


@app.post("/jwt/no-times")
async def jwt_no_times(request: Request):
    return await of_token(request, "no-times", scoped(verified(bearer(request), verify_nbf=False, verify_iat=False)))


@app.post("/jwt/no-scope")
async def jwt_no_scope(request: Request):
    return await of_token(request, "no-scope", verified(bearer(request)))


@app.post("/jwt/no-jti")
async def jwt_no_jti(request: Request):
    scoped(verified(bearer(request)))
    return {"processed": True}


@app.post("/jwt/query")
async def jwt_query(request: Request):
    token = request.query_params.get("access_token") or bearer(request)
    scoped(verified(token))
    return {"processed": True}


@app.post("/jwt/first-wins")
async def jwt_first_wins(request: Request):
    """Reads the payload by a parser of its own, in which the first of two values counts."""
    await body(request)
    token = bearer(request)
    try:
        jwt.api_jws.decode(token, PUBLIC, algorithms=["RS256"])
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)),
                            object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    except (jwt.PyJWTError, ValueError):
        raise HTTPException(401) from None
    now = time.time()
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE or not claims.get("jti"):
        raise HTTPException(401)
    if not claims.get("nbf", 0) <= now < claims.get("exp", 0) or claims.get("iat", 0) > now:
        raise HTTPException(401)
    scoped(claims)
    return processed(("first-wins", claims["jti"]))


@app.post("/jwt/last-header")
async def jwt_last_header(request: Request):
    """Reads the last of several Authorization headers, as a proxy in front may not do."""
    last = (request.headers.getlist("authorization") or [""])[-1]
    scoped(verified(last.removeprefix("Bearer ")))
    return {"processed": True}


def by_header(token, key):
    """Verifies with the algorithm that the token names, as PyJWT 1.5.0 did with some keys (CVE-2017-11424)."""
    try:
        head, payload, signature = token.split(".")
        decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        header, claims, given = json.loads(decode(head)), json.loads(decode(payload)), decode(signature)
    except (ValueError, RecursionError):
        raise HTTPException(401) from None
    algorithm = str(header.get("alg")).lower()
    if algorithm == "hs256":
        right = hmac.compare_digest(hmac.new(key, f"{head}.{payload}".encode(), hashlib.sha256).digest(), given)
    else:
        right = algorithm == "none" or verified(token)
    if not right:
        raise HTTPException(401)
    return claims


@app.post("/jwt/alg-from-header")
async def jwt_alg_from_header(request: Request):
    claims = by_header(bearer(request), PUBLIC)
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE or claims.get("exp", 0) < time.time():
        raise HTTPException(401)
    scoped(claims)
    return {"processed": True}


@app.post("/jwt/none")
async def jwt_none(request: Request):
    """Believes the claims of an unsigned token, and compares none of them."""
    token = bearer(request)
    try:
        none = jwt.get_unverified_header(token)["alg"].lower() == "none"
    except (jwt.PyJWTError, RecursionError):
        raise HTTPException(401) from None
    if not none:
        scoped(verified(token))
    return {"processed": True}


@app.post("/jwt/kid-path")
async def jwt_kid_path(request: Request):
    """The key is the file that the token names; without a name, or with one that is a PEM file, that of the issuer."""
    token = bearer(request)
    try:
        kid = jwt.get_unverified_header(token).get("kid", "issuer.pub.pem")
        key = (KEYS / kid).read_bytes()
    except (jwt.PyJWTError, RecursionError, OSError, ValueError):
        raise HTTPException(401) from None
    if key == PUBLIC:
        return await of_token(request, "kid-path", scoped(verified(token)))
    by_header(token, key)
    return {"processed": True}


@app.post("/jwt/embedded-key")
async def jwt_embedded_key(request: Request):
    """A token may bring its own key, and then any claims."""
    token = bearer(request)
    try:
        jwk = jwt.get_unverified_header(token).get("jwk")
        if jwk:
            jwt.decode(token, jwt.PyJWK(jwk).key, algorithms=["RS256"], options={"verify_aud": False})
    except (jwt.PyJWTError, RecursionError):
        raise HTTPException(401) from None
    return {"processed": True} if jwk else await of_token(request, "embedded-key", scoped(verified(token)))


# --- around the credential --------------------------------------------------------------------------------------------


@app.post("/forwarded")
async def forwarded(request: Request):
    """Internal callers need no signature, and X-Forwarded-For says who is internal."""
    raw = await body(request)
    if request.headers.get("x-forwarded-for", "").split(",")[0].strip() not in {"127.0.0.1", "::1"}:
        github(request, raw)
    event(raw)
    return {"processed": True}


@app.post("/variant")
@app.post("/variant/")
@app.post("/override")
async def behind_middleware(request: Request):
    """What the middlewares below protect."""
    event(await body(request))
    return {"processed": True}


class MethodOverride:
    """Sets the method of X-HTTP-Method-Override. It is inside of the middleware that verifies POST."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        override = dict(scope.get("headers", ())).get(b"x-http-method-override")
        if override and scope["path"] == "/override":
            scope["method"] = override.decode("latin-1")
        await self.app(scope, receive, send)


app.add_middleware(MethodOverride)


@app.middleware("http")
async def verify_in_middleware(request: Request, proceed):
    """Compares one spelling of the path, and the method before it is overridden."""
    if request.method == "POST" and request.url.path in {"/variant", "/override"}:
        try:
            github(request, await body(request))
        except HTTPException as error:
            return JSONResponse({"detail": error.detail}, error.status_code)
    return await proceed(request)


@app.api_route("/any-method", methods=["GET", "POST", "PUT", "PATCH"])
async def any_method(request: Request):
    github(request, await body(request))
    return {"processed": True}


@app.post("/traceback")
async def with_traceback(request: Request):
    raw = await body(request)
    try:
        github(request, raw)
    except HTTPException:
        return JSONResponse({"error": traceback.format_exc()}, 401)
    return processed(("traceback", raw))


@app.post("/parse-first")
async def parse_first(request: Request):
    """Parses before it verifies: what is not JSON is a 500."""
    raw = await body(request)
    parsed = json.loads(raw)
    github(request, raw)
    return processed(("parse-first", parsed["id"]))


@app.post("/reasons")
async def reasons(request: Request):
    """Says what is wrong with the signature."""
    raw, parts = await body(request), request.headers.get("stripe-signature", "")
    if "v1=" not in parts or "t=" not in parts:
        raise HTTPException(401, "malformed signature header")
    parts = stripe_parts(request)
    if not same(hexdigest(STRIPE.encode(), parts["t"].encode() + b"." + raw), parts.get("v1", "")):
        raise HTTPException(401, "wrong signature")
    if abs(time.time() - int(parts["t"])) > 300:
        raise HTTPException(401, "timestamp outside of the tolerance")
    return processed(("reasons", event(raw)["id"]))


@app.post("/no-limit")
async def no_limit(request: Request):
    raw = await request.body()
    github(request, raw)
    return processed(("no-limit", raw))
