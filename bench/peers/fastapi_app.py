"""The same check inside a FastAPI application, with PyJWT. BENCH_KEYS is the folder of the keys."""

import json
import os
import pathlib

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

JWKS = json.loads((pathlib.Path(os.environ["BENCH_KEYS"]) / "jwks.json").read_text())
KEYS = {key.key_id: key for key in jwt.PyJWKSet.from_dict(JWKS).keys}
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
bearer = HTTPBearer(auto_error=False)


async def claims(credentials: HTTPAuthorizationCredentials | None = Depends(bearer)) -> dict:
    if credentials is None:
        raise HTTPException(401)
    try:
        key = KEYS[jwt.get_unverified_header(credentials.credentials)["kid"]]
        return jwt.decode(
            credentials.credentials,
            key.key,
            algorithms=["RS256", "ES256"],
            issuer="https://issuer.bench.test/",
            audience="bench-api",
            options={"require": ["exp", "iss", "aud"]},
        )
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(401)


@app.post("/{path:path}")
async def order(request: Request, _: dict = Depends(claims)) -> dict:
    await request.body()
    return {"ok": True}
