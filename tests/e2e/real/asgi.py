"""A FastAPI application for uvicorn; BODY is the body that it expects."""
import os

from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.api_route("/{path:path}", methods=["GET", "POST"])
async def events(request: Request):
    body = (await request.body()).decode()
    return Response(status_code=200 if request.method == "GET" or body == os.environ["BODY"] else 500)
