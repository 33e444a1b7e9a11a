"""An identity provider on loopback that speaks OpenID Connect, and checks what it is sent."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "palyra-client", "hunter2-of-the-client"


@dataclass(slots=True)
class IdentityProvider:
    """Says of everyone who comes that they are `person`; `refused` are faults it saw."""

    base_url: str
    person: dict[str, Any]
    signing: rsa.RSAPrivateKey
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    broken: bool = False
    audience: str = CLIENT_ID
    configured_as: Any = None

    def configuration(self) -> dict[str, Any]:
        """What a client reads first."""
        return {
            "issuer": self.base_url,
            "authorization_endpoint": f"{self.base_url}/authorize",
            "token_endpoint": f"{self.base_url}/token",
            "userinfo_endpoint": f"{self.base_url}/userinfo",
            "jwks_uri": f"{self.base_url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser of somebody who agreed is sent back to."""
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        answer = urlencode({"code": code, "state": query["state"]})
        return f"{query['redirect_uri']}?{answer}"

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Tokens for a code, once, for who asked for it."""
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or self.broken:
            self.refused.append("code")
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        for name, right in (
            ("code_verifier", challenge == asked.get("code_challenge")),
            ("client_id", form.get("client_id") == CLIENT_ID),
            ("client_secret", form.get("client_secret") == CLIENT_SECRET),
            ("redirect_uri", form.get("redirect_uri") == asked["redirect_uri"]),
        ):
            if not right:
                self.refused.append(name)
                return None
        return {"access_token": "token", "token_type": "Bearer", "id_token": self._id_token()}

    def _id_token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.base_url, "aud": self.audience, "iat": now, "exp": now + 60}
        return jwt.encode({**self.person, **claims}, self.signing, "RS256", headers={"kid": "one"})


@contextmanager
def identity_provider(**person: Any) -> Iterator[IdentityProvider]:
    """Serve one until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    provider = IdentityProvider(
        base_url=f"http://127.0.0.1:{server.server_address[1]}",
        person={"sub": "subject-1", **person},
        signing=rsa.generate_private_key(public_exponent=65537, key_size=2048),
    )
    server.provider = provider  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    @property
    def provider(self) -> IdentityProvider:
        found: IdentityProvider = self.server.provider  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", self.provider.authorize(_flat(parts.query)))
            self.end_headers()
        elif parts.path == "/.well-known/openid-configuration":
            self._answer(self.provider.configured_as or self.provider.configuration())
        elif parts.path == "/userinfo":
            authorised = self.headers.get("Authorization") == "Bearer token"
            self._answer(self.provider.person if authorised else None)
        else:
            self._answer(None)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        form = _flat(self.rfile.read(length).decode())
        self._answer(self.provider.token(form) if self.path == "/token" else None)

    def _answer(self, body: Any) -> None:
        text = json.dumps(body or {"error": "refused"}).encode()
        self.send_response(200 if body else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
