"""The article's FastAPI program: one event loop that serves other requests while one waits."""

import asyncio
import time
from typing import Annotated

from fastapi import FastAPI, Query

app = FastAPI()

Seconds = Annotated[float, Query(ge=0, le=300)]


@app.get("/")
async def root(seconds: Seconds = 20):
    await asyncio.sleep(seconds)
    return {"message": "Hello World"}


@app.get("/dummy")
async def dummy():
    return {"message": "dummy"}


@app.get("/blocking")
async def blocking(seconds: Seconds = 20):
    # The mistake: nothing else runs on the event loop meanwhile.
    time.sleep(seconds)
    return {"message": "blocking"}


@app.get("/offloaded")
def offloaded(seconds: Seconds = 20):
    # A plain function: FastAPI runs it in a pool of threads.
    time.sleep(seconds)
    return {"message": "offloaded"}


@app.get("/cpu")
async def cpu(seconds: Seconds = 1):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return {"message": "cpu"}
