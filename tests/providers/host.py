"""A host that lists models, on a thread of its own, for tests that block."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

KEY = "sk-the-right-key-of-the-tests"


@dataclass(slots=True)
class Host:
    """Lists `models`, each an object or just a name, to whoever sends its `key`.

    With `status` it answers that instead, with `error` as its message. `asked` are the paths of the
    requests, in order. Between `hold` and `release` it answers nobody.
    """

    port: int = 0
    models: list[Any] = field(default_factory=list)
    key: str | None = None
    status: int = 200
    error: str = ""
    asked: list[str] = field(default_factory=list)
    asking: threading.Event = field(default_factory=threading.Event)
    _may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.release()

    def hold(self) -> None:
        """Answer nobody for now."""
        self._may_answer.clear()

    def release(self) -> None:
        """Answer again."""
        self._may_answer.set()

    @property
    def base_url(self) -> str:
        """What a provider is registered with."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        """The status and body for a request."""
        self.asked.append(path)
        self.asking.set()
        self._may_answer.wait()
        sent = headers.get("Authorization", "").removeprefix("Bearer ")
        if self.status != 200:
            return self.status, {"error": {"message": self.error, "type": "error"}}
        if self.key is not None and sent != self.key:
            return 401, {"error": {"message": f"Incorrect API key provided: {sent}."}}
        if path != "/v1/models":
            return 404, {"error": {"message": "Not found."}}
        rows = [{"id": one} if isinstance(one, str) else one for one in self.models]
        return 200, {"object": "list", "data": rows}


@contextmanager
def hosting(*models: Any, **fields: Any) -> Iterator[Host]:
    """A host on a free loopback port."""
    host = Host(models=list(models), **fields)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = host.answer(self.path, self.headers)  # type: ignore[arg-type]
            content = orjson.dumps(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """What it is asked is in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        host.release()
        server.shutdown()
        server.server_close()
        thread.join()
