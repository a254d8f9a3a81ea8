"""Webhook endpoints in FastAPI that are right: the SDK of Stripe, and PyJWT."""
import base64
import collections
import json
import os
import pathlib
import time

import jwt
import stripe
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

STRIPE = os.environ["STRIPE_SECRET"]
ISSUER, AUDIENCE = os.environ["ISSUER"], os.environ["AUDIENCE"]
PUBLIC = (pathlib.Path(os.environ["KEYS"]) / "issuer.pub.pem").read_bytes()
LIMIT, TOLERANCE = 256 << 10, 300
REJECTIONS = 40  # of an address in a minute, before the response is 429

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
seen = set()
rejected = collections.defaultdict(collections.deque)


def reject(request, status=401, detail=None):
    """The same response for every reason; 429 for an address with many."""
    recent, now = rejected[request.client.host], time.monotonic()
    while recent and recent[0] < now - 60:
        recent.popleft()
    recent.append(now)
    raise HTTPException(429 if len(recent) > REJECTIONS else status, detail)


async def raw_body(request: Request):
    """The bytes of the body; a body without a length, or over the limit, is not read."""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > LIMIT:
        reject(request, 413)
    return await request.body()


@app.post("/stripe")
async def of_stripe(request: Request, raw: bytes = Depends(raw_body)):
    header = request.headers.get("stripe-signature", "")
    try:
        event = stripe.Webhook.construct_event(raw, header, STRIPE, TOLERANCE)
        # The SDK rejects only an old timestamp.
        sent = int(dict(pair.split("=", 1) for pair in header.split(","))["t"])
    except (TypeError, ValueError, stripe.SignatureVerificationError):  # TypeError: letters beyond ASCII
        reject(request, 400)
    if sent > time.time() + TOLERANCE:
        reject(request, 400)
    if event["id"] in seen:
        return {"received": True, "duplicate": True}
    handle(event)
    seen.add(event["id"])  # after success; nothing awaits in between
    return {"received": True}


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def verified(token):
    """The claims, or ValueError or an error of PyJWT."""
    payload = token.split(".")[1:2]
    json.loads(base64.urlsafe_b64decode(payload[0] + "=" * (-len(payload[0]) % 4)), object_pairs_hook=unique)
    whole = jwt.decode_complete(token, PUBLIC, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER, leeway=30,
                                options={"require": ["iss", "aud", "exp", "iat", "jti"]})
    if whole["header"].get("typ", "JWT") not in {"JWT", "at+jwt"}:
        raise ValueError
    return whole["payload"]


@app.post("/jwt")
async def of_issuer(
    request: Request,
    # A request without a token has another response than one with an invalid one.
    bearer: HTTPAuthorizationCredentials | None = Depends(HTTPBearer(auto_error=False)),
):
    if bearer is None:
        reject(request, 401, "a bearer token is required")
    try:
        claims = verified(bearer.credentials)
    except (jwt.PyJWTError, ValueError, LookupError, RecursionError):
        reject(request)
    if claims.get("event_scope") != "webhook":
        reject(request, 403)
    raw = await raw_body(request)
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        reject(request, 400)
    if claims["jti"] in seen:
        raise HTTPException(409)
    handle(event)
    seen.add(claims["jti"])
    return {"received": True}


def handle(event):
    """The work."""
