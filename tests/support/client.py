"""Palyra's clients: an integration with a key, and a person signed in to the console."""

from __future__ import annotations

from typing import Any

import httpx

PATIENCE = 90.0
JSON_API = "/api/v1"


class Integration:
    """Speaks to `/v1` and `/api/v1` with a key, or with none."""

    def __init__(self, base_url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(
            base_url=base_url, headers=headers, trust_env=False, timeout=PATIENCE
        )

    def chat(self, model: str, prompt: str = "Say something.", **more: Any) -> httpx.Response:
        """One call of a model, as a plain response."""
        return self.http.post("/v1/chat/completions", json=chat_body(model, prompt, **more))

    def get(self, path: str) -> httpx.Response:
        """Read from the JSON API; `path` begins with a slash."""
        return self.http.get(f"{JSON_API}{path}")

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send to the JSON API; `path` begins with a slash."""
        return self.http.post(f"{JSON_API}{path}", json=body)

    def close(self) -> None:
        self.http.close()


class Person:
    """A browser's session: signed in through the console's own form, with its CSRF token."""

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self.http = httpx.Client(base_url=base_url, trust_env=False, timeout=PATIENCE)
        self._sign_in(username, password)

    def _sign_in(self, username: str, password: str) -> None:
        self.http.get("/account/sign-in/").raise_for_status()
        form = {
            "login": username,
            "password": password,
            "next": "/admin/",
            "csrfmiddlewaretoken": self.http.cookies["csrftoken"],
        }
        reply = self.http.post("/account/sign-in/", data=form, headers={"Referer": self._origin})
        assert reply.status_code == 302, f"could not sign in: {reply.status_code}"

    @property
    def _origin(self) -> str:
        return str(self.http.base_url)

    def get(self, path: str) -> Any:
        """What the JSON API has at `path`, which begins with a slash."""
        return _accepted(self.request("GET", path))

    def post(self, path: str, body: Any = None) -> Any:
        """Send what must be accepted; its answer."""
        return _accepted(self.request("POST", path, body))

    def delete(self, path: str) -> None:
        """Take away what may be taken away."""
        _accepted(self.request("DELETE", path))

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request to the JSON API, whatever comes of it."""
        headers = {"X-CSRFToken": self.http.cookies["csrftoken"], "Referer": self._origin}
        return self.http.request(method, f"{JSON_API}{path}", json=body, headers=headers)

    def close(self) -> None:
        self.http.close()


def _accepted(reply: httpx.Response) -> Any:
    assert reply.is_success, f"{reply.request.url} answered {reply.status_code}: {reply.text}"
    return reply.json() if reply.content else None


def chat_body(model: str, prompt: str = "Say something.", **more: Any) -> dict[str, Any]:
    """An OpenAI chat-completions request of one message."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
