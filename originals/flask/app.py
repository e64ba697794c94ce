"""The article's Flask program: one thread, and every request waits for the one before it."""

import time

import psycopg
from flask import Flask, request
from psycopg_pool import ConnectionPool

app = Flask(__name__)

# Connections are opened for queries, so that the program starts without a database. PGHOST, PGUSER and PGDATABASE say
# which one it is, as for psql.
pool = ConnectionPool(
    open=True,
    min_size=0,
    max_size=4,
    timeout=10,
    reconnect_timeout=10,
    check=ConnectionPool.check_connection,
    kwargs={"connect_timeout": 5},
)


def seconds(default: float) -> float:
    """The query parameter "seconds", from 0 to 300."""
    # In this order, max() turns a NaN into 0.
    return min(max(0.0, request.args.get("seconds", default, type=float)), 300.0)


@app.get("/")
def root():
    time.sleep(seconds(20))
    return {"message": "Hello World"}


@app.get("/dummy")
def dummy():
    return {"message": "dummy"}


@app.get("/blocking")
def blocking():
    time.sleep(seconds(20))
    return {"message": "blocking"}


@app.get("/offloaded")
def offloaded():
    # Flask has no pool to hand work to: this is the same as /blocking.
    time.sleep(seconds(20))
    return {"message": "offloaded"}


@app.get("/database/synchronous")
def query_synchronous():
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(%s)", [seconds(20)])
    return {"message": "synchronous"}


@app.errorhandler(psycopg.OperationalError)
def no_database(error):
    # No connection was free or could be opened in time, or it was lost.
    return {"detail": str(error)}, 503


@app.get("/cpu")
def cpu():
    end = time.thread_time() + seconds(1)
    while time.thread_time() < end:
        pass
    return {"message": "cpu"}


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000, threaded=False)
