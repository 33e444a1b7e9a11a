"""A receiver of webhooks on a loopback port, that checks signatures by a computation of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from governance.alerts.sending import Outgoing, Result, Underway
from providers.hosts import with_transport
from providers.transport import Transport

LONGEST_WAIT = 60
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass(slots=True)
class Receiver:
    """Answers `status`, with `headers`, and keeps what it was sent: where, headers and body.

    As long as `answers` is not set it hangs; with `dawdles`, after the head of its answer.
    """

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)
    dawdles: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def bodies(self) -> list[Any]:
        return [orjson.loads(body) for _, body in self.received]


def send_all(claimed: Sequence[Outgoing], now: datetime) -> list[tuple[Outgoing, Result]]:
    """Send them as upkeep does, until all are sent."""

    async def send(transport: Transport) -> list[tuple[Outgoing, Result]]:
        under_way = Underway()
        await under_way.go_on(claimed, transport, now, patience=0.0)
        while len(under_way.ended()) < len(claimed):
            await under_way.go_on([], transport, now, patience=30.0)
        return under_way.ended()

    return with_transport(send)


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
    receiver.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            receiver.paths.append(self.path)
            receiver.received.append((names, body))
            if not receiver.dawdles:
                receiver.answers.wait(LONGEST_WAIT)
            with suppress(OSError):
                self._answer()

        def _answer(self) -> None:
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "9" if receiver.dawdles else "0")
            self.end_headers()
            if receiver.dawdles:
                receiver.answers.wait(LONGEST_WAIT)

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
        receiver.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
