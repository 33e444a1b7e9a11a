"""A receiver of webhooks on a loopback port, that checks signatures by a computation of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass(slots=True)
class Receiver:
    """Answers `status`, with `headers`, and keeps what it was sent: where, headers and body."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def bodies(self) -> list[Any]:
        return [orjson.loads(body) for _, body in self.received]


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    """Whether `headers` carry the signature of `body` under `KEY`."""
    content = b".".join(
        (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
    )
    digest = base64.b64encode(hmac.digest(KEY, content, hashlib.sha256)).decode()
    return f"v1,{digest}" in headers["webhook-signature"].split(" ")


@contextmanager
def receiving(status: int = 204) -> Iterator[Receiver]:
    """A receiver on a thread of its own."""
    receiver = Receiver(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            receiver.paths.append(self.path)
            receiver.received.append((names, body))
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """What it is sent is in `received`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
