"""The article's FastAPI program: one event loop that serves other requests while one waits."""

import asyncio
import time
from contextlib import asynccontextmanager
from typing import Annotated

import psycopg
from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse
from psycopg_pool import AsyncConnectionPool, ConnectionPool

# Connections are opened for queries, so that the program starts without a database. PGHOST, PGUSER and PGDATABASE say
# which one it is, as for psql.
POOL = {
    "open": False,
    "min_size": 0,
    "max_size": 20,
    "timeout": 10,
    "reconnect_timeout": 10,
    "kwargs": {"connect_timeout": 5},
}
pool = ConnectionPool(check=ConnectionPool.check_connection, **POOL)
async_pool = AsyncConnectionPool(check=AsyncConnectionPool.check_connection, **POOL)


@asynccontextmanager
async def lifespan(_: FastAPI):
    with pool:
        async with async_pool:
            yield


app = FastAPI(lifespan=lifespan)

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


@app.get("/database/synchronous")
async def query_synchronous(seconds: Seconds = 20):
    # The mistake again: the driver waits for the database, and the event loop with it.
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(%s)", [seconds])
    return {"message": "synchronous"}


@app.get("/database/offloaded")
def query_offloaded(seconds: Seconds = 20):
    # A plain function: the driver holds a thread of the pool.
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(%s)", [seconds])
    return {"message": "offloaded"}


@app.get("/database/asynchronous")
async def query_asynchronous(seconds: Seconds = 20):
    async with async_pool.connection() as connection:
        await connection.execute("SELECT pg_sleep(%s)", [seconds])
    return {"message": "asynchronous"}


@app.exception_handler(psycopg.OperationalError)
async def no_database(_, error: psycopg.OperationalError):
    # No connection was free or could be opened in time, or it was lost.
    return JSONResponse({"detail": str(error)}, status_code=503)


@app.get("/cpu")
async def cpu(seconds: Seconds = 1):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return {"message": "cpu"}
