"""A provider's side of the wire: a real HTTP server in a process of its own, and its controls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from tests.support.completions import Behaviour, Fault, output_cap
from tests.support.processes import PATIENCE, ChildProcess

__all__ = ["Behaviour", "Fault", "Received", "Upstream", "start_upstream"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the upstream got it; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def output_cap(self) -> int | None:
        """The most output tokens it allowed."""
        return output_cap(self.body)

    @property
    def prompt(self) -> str:
        """What its last message said."""
        return str(self.body["messages"][-1]["content"])


class Upstream:
    """The controls of a running upstream. `base_url` is what a provider is registered with."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/control", trust_env=False, timeout=PATIENCE + 10
        )

    def behave(self, model: str, behaviour: Behaviour) -> None:
        """Answer calls of `model` so from now on; a call already held goes on if this lets it."""
        self._http.put(f"behaviours/{model}", json=asdict(behaviour)).raise_for_status()

    def hold(self, model: str) -> None:
        """Keep calls of `model` waiting until they are released."""
        self.behave(model, Behaviour(hold=True))

    def release(self, model: str) -> None:
        """Answer the calls of `model` that wait, and those to come, as usual."""
        self.behave(model, Behaviour())

    def wait_for_calls(self, model: str, count: int, *, patience: float = PATIENCE) -> None:
        """Wait until `count` calls of `model` have arrived since the last `forget`."""
        reply = self._http.get(
            "arrivals", params={"model": model, "at_least": count, "patience": patience}
        ).json()
        assert reply["enough"], f"{reply['arrived']} calls of {model} arrived, not {count}"

    def received(self, model: str | None = None) -> list[Received]:
        """The chat calls that arrived since the last `forget`, of one model or of all."""
        return [entry for entry in self.requests() if _is_chat(entry, model)]

    def requests(self) -> list[Received]:
        """Everything that arrived under `/v1` since the last `forget`."""
        return [Received(**entry) for entry in self._http.get("received").json()]

    def forget(self) -> None:
        """Forget what was received."""
        self._http.delete("received").raise_for_status()

    def close(self) -> None:
        self._http.close()


def _is_chat(entry: Received, model: str | None) -> bool:
    return entry.path.endswith("/chat/completions") and (
        model is None or entry.body.get("model") == model
    )


@contextmanager
def start_upstream() -> Iterator[Upstream]:
    """An upstream on a free loopback port, gone when the block ends."""
    process = ChildProcess("upstream", [sys.executable, "-m", "tests.support.upstream_server"])
    try:
        upstream = Upstream(int(process.wait_for_line(r"^ready (\d+)$")[1]))
        try:
            yield upstream
        finally:
            upstream.close()
            process.close_input()
            process.wait()
    finally:
        process.stop()
