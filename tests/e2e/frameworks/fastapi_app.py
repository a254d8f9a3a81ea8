"""Tells how FastAPI sees a request."""
from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/{path:path}")
async def seen(request: Request):
    return {"url": str(request.url), "client": request.client and request.client.host}
