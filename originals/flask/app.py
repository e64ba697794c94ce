"""The article's Flask program: one thread, and every request waits for the one before it."""

import time

from flask import Flask, request

app = Flask(__name__)


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


@app.get("/cpu")
def cpu():
    end = time.thread_time() + seconds(1)
    while time.thread_time() < end:
        pass
    return {"message": "cpu"}


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000, threaded=False)
