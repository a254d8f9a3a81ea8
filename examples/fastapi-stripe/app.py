from fastapi import FastAPI, Request

app = FastAPI()


@app.post("/webhook")
async def webhook(request: Request):
    event = await request.body()
    print("received", event.decode(), flush=True)
    return {"received": True}
