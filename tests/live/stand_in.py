"""Stands in for the article's programs, which need packages of their own: the same threads and the same waits.

`flask` is one thread that serves one request after the other, `fastapi` one event loop that serves all. `gunicorn` is a
process that waits beside a worker, which does the same as `flask`; the worker of `gthread` has a thread that accepts
connections and four that serve them. All respond to `/?seconds=N` after N seconds, to `/cpu?seconds=N` after as much
CPU time, and to everything else at once.
"""

import asyncio
import concurrent.futures
import ctypes
import http.server
import os
import select
import signal
import sys
import time

BODY = b'{"message": "Hello World"}'


def seconds(path: str) -> float:
    return float(path.partition("?seconds=")[2] or 0)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/cpu"):
            end = time.thread_time() + seconds(self.path)
            while time.thread_time() < end:
                pass
        else:
            time.sleep(seconds(self.path))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_) -> None:
        pass


async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(seconds(head.split()[1].decode()))
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() % len(BODY) + BODY)
    await writer.drain()
    writer.close()


async def serve_fastapi() -> None:
    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def listen() -> http.server.HTTPServer:
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    return server


def serve_with_threads(server: http.server.HTTPServer) -> None:
    def serve(connection, address) -> None:
        server.finish_request(connection, address)
        server.shutdown_request(connection)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while True:
            select.select([server.socket], [], [], 1)
            pool.submit(serve, *server.get_request())


def serve_in_worker(serve) -> None:
    if os.fork() == 0:
        # PR_SET_PDEATHSIG: ends with the process of the test.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        serve()
    wake_up, _ = os.pipe()
    while True:
        select.select([wake_up], [], [], 1)


name = sys.argv[1]
if name == "fastapi":
    asyncio.run(serve_fastapi())
server = listen()
if name == "flask":
    server.serve_forever()
elif name == "gunicorn":
    serve_in_worker(server.serve_forever)
else:
    serve_in_worker(lambda: serve_with_threads(server))
