"""What is asked of an identity provider, over real TLS: directly and through a proxy."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
import requests
from pytest_django import Settings

from palyra_site.access import outbound
from tests.providers.sending import certificate

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """In silence."""


@contextmanager
def _running(server: ThreadingTCPServer | HTTPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def provider(tmp_path: Path, settings: Settings) -> Iterator[str]:
    """The address of a server with a certificate of the authority in PALYRA_CA_FILE."""
    context, authority = certificate(tmp_path)
    settings.PALYRA_CA_FILE = str(authority)
    server = HTTPServer(("127.0.0.1", 0), _Answering)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with _running(server) as port:
        yield f"https://127.0.0.1:{port}/"


def _tunnel(asked: list[str]) -> type[BaseRequestHandler]:
    """A proxy that does CONNECT and nothing else, and notes whereto."""

    class Tunnel(BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.request.recv(1)
            place = head.split()[1].decode()
            asked.append(place)
            host, _, port = place.partition(":")
            with socket.create_connection((host, int(port))) as beyond:
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_pass_on, args=(beyond, self.request))
                back.start()
                _pass_on(self.request, beyond)
                back.join()

    return Tunnel


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while some := source.recv(65536):
            target.sendall(some)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def through_a_proxy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[str]]]:
    """What the proxy was asked for, that requests go through from now on."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings.PALYRA_ENVIRONMENT_PROXIES = True
    asked: list[str] = []
    with _running(ThreadingTCPServer(("127.0.0.1", 0), _tunnel(asked))) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        yield lambda: asked


def test_an_authority_of_ones_own_is_trusted(provider: str) -> None:
    with outbound.session() as session:
        assert session.get(provider).status_code == 200


def test_and_behind_a_proxy_as_well(
    provider: str, through_a_proxy: Callable[[], list[str]]
) -> None:
    with outbound.session() as session:
        assert session.get(provider).status_code == 200
    assert through_a_proxy() == [provider.removeprefix("https://").rstrip("/")]


def test_without_it_neither_is(
    provider: str, through_a_proxy: Callable[[], list[str]], settings: Settings
) -> None:
    settings.PALYRA_CA_FILE = ""
    with outbound.session() as session, pytest.raises(requests.exceptions.SSLError):
        session.get(provider)
    assert len(through_a_proxy()) == 1


def test_a_proxy_spoken_to_by_https_may_be_of_that_authority_too(
    provider: str, settings: Settings
) -> None:
    adapter: Any = outbound.session().get_adapter(provider)
    behind = adapter.proxy_manager_for("https://proxy.example:3128")
    usual = ssl.create_default_context().cert_store_stats()["x509"]
    for context in (behind.proxy_config.ssl_context, behind.connection_pool_kw["ssl_context"]):
        assert context.cert_store_stats()["x509"] == usual + 1
