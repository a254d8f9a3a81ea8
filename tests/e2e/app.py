"""The classic weak webhook handler: it asks whether there is a bearer token, and not which."""
import hashlib
import json
import os

from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer

app = FastAPI()
bearer = HTTPBearer()


@app.post("/webhook", dependencies=[Depends(bearer)])
async def webhook(request: Request):
    body = await request.body()
    seen = {
        "path": request.url.path,
        "query": request.url.query,
        "headers": request.headers.items(),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    with open(os.environ["SEEN"], "a", encoding="utf-8") as log:
        log.write(json.dumps(seen) + "\n")
    return {"ok": True, "received": len(body)}
