"""A weak webhook handler, as often found: it requires a bearer token and does not verify it.

uvicorn serves `recorded`: the same app, which also records every request in the file SEEN.
"""
import hashlib
import json
import os

from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer

app = FastAPI()
bearer = HTTPBearer()


@app.post("/webhook", dependencies=[Depends(bearer)])
async def webhook(request: Request):
    return {"ok": True, "received": len(await request.body())}


@app.post("/events")
async def events(request: Request):
    """For senders that sign and send no bearer token: this handler requires nothing."""
    return {"ok": True, "received": len(await request.body())}


async def recorded(scope, receive, send):
    """Records a request before the handler checks it, so that requests that the handler rejects are recorded too."""
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    record(scope, b"".join(message.get("body", b"") for message in messages))

    async def again():
        return messages.pop(0) if messages else await receive()

    await app(scope, again, send)


def record(scope, body):
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    with open(os.environ["SEEN"], "a", encoding="utf-8") as log:
        log.write(json.dumps(seen) + "\n")
