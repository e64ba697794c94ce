"""Stands in for the article's programs, which need packages of their own: the same threads and the same waits.

`flask` is one thread that serves one request after the other, `fastapi` one event loop that serves all. Both respond to
`/?seconds=N` after N seconds, and to everything else at once.
"""

import asyncio
import http.server
import sys
import time

BODY = b'{"message": "Hello World"}'


def seconds(path: str) -> float:
    return float(path.partition("?seconds=")[2] or 0)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
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


def serve_flask() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if sys.argv[1] == "flask":
    serve_flask()
else:
    asyncio.run(serve_fastapi())
