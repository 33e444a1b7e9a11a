"""A provider's side of the wire: a real HTTP server in a process of its own, and its controls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from tests.support import anthropic_wire, openai_wire
from tests.support.completions import Asked, Usage, asked_of, count, output_cap
from tests.support.faults import Behaviour, Fault
from tests.support.processes import PATIENCE, ChildProcess
from tests.support.upstream_state import ANSWERED, ARRIVED, CALLS, DISCONNECTED

__all__ = ["Behaviour", "Fault", "Received", "Upstream", "start_upstream"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the upstream got it; header names are in lower case.

    The body of a form is `{"model", "fields": [[name, value], ...], "file": {...}}`. Times are
    seconds of the machine's monotonic clock. `answered` says that a whole, sound answer was
    written, `disconnected_at` when the client went away before that.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    arrived_at: float
    answered: bool
    disconnected_at: float | None

    @property
    def output_cap(self) -> int | None:
        """The most output tokens it allowed."""
        return output_cap(self.body)

    @property
    def prompt(self) -> str:
        """What its last message said."""
        return str(self.body["messages"][-1]["content"])

    @property
    def credential(self) -> str:
        """The key it carried, in either protocol's header."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key", bearer)

    @property
    def asked(self) -> Asked:
        """What it asked of a chat model, in whichever protocol."""
        if self.path.startswith("/anthropic/"):
            return anthropic_wire.asked(self.body)
        return asked_of(self.body)

    def usage(self, behaviour: Behaviour | None = None) -> Usage:
        """The tokens that were used if it was answered with that behaviour."""
        behaviour = behaviour or Behaviour()
        if self.path.endswith("/embeddings"):
            return openai_wire.embeddings_usage(self.body, behaviour)
        if self.path.endswith("/audio/transcriptions"):
            return openai_wire.transcription_usage(self.body, behaviour)
        return count(self.asked, behaviour)


class Upstream:
    """The controls of a running upstream.

    `base_url` is what an OpenAI-compatible provider is registered with, `anthropic_base_url` what
    one of Anthropic's kind is.
    """

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.origin}/v1"
        self.anthropic_base_url = f"{self.origin}/anthropic/v1"
        self._http = httpx.Client(
            base_url=f"{self.origin}/control", trust_env=False, timeout=PATIENCE + 10
        )

    def behave(self, model: str, behaviour: Behaviour) -> None:
        """Answer calls of `model` so from now on; a call already held goes on if this lets it.

        `models` stands for the lists of models.
        """
        self._http.put(f"behaviours/{model}", json=asdict(behaviour)).raise_for_status()

    def hold(self, model: str) -> None:
        """Keep calls of `model` waiting until they are released."""
        self.behave(model, Behaviour(hold=True))

    def release(self, model: str) -> None:
        """Answer the calls of `model` that wait, and those to come, as usual."""
        self.behave(model, Behaviour())

    def require_credentials(self, *credentials: str) -> None:
        """Answer 401 to requests without one of these keys; without any, ask for none."""
        self._http.put("credentials", json=credentials).raise_for_status()

    def wait_for_calls(self, model: str, count: int, *, patience: float = PATIENCE) -> None:
        """Wait until `count` calls of `model` have arrived since the last `forget`."""
        arrived, enough = self._counted(ARRIVED, model, count, patience)
        assert enough, f"{arrived} calls of {model} arrived, not {count}"

    def wait_for_disconnects(
        self, model: str, count: int = 1, *, patience: float = PATIENCE
    ) -> None:
        """Wait until the clients of `count` calls of `model` have gone away before their answer."""
        gone, enough = self._counted(DISCONNECTED, model, count, patience)
        assert enough, f"{gone} clients of {model} went away, not {count}"

    def answered(self, model: str = "") -> int:
        """How many calls of `model`, or of any, got a whole answer since the last `forget`."""
        return self._counted(ANSWERED, model, 0, 0)[0]

    def arrived(self, model: str = "") -> int:
        """How many calls of `model`, or of any, have arrived since the last `forget`."""
        return self._counted(ARRIVED, model, 0, 0)[0]

    def _counted(self, event: str, model: str, at_least: int, patience: float) -> tuple[int, bool]:
        reply = self._http.get(
            f"counts/{event}", params={"model": model, "at_least": at_least, "patience": patience}
        ).json()
        return int(reply["count"]), bool(reply["enough"])

    def received(self, model: str | None = None) -> list[Received]:
        """The calls that arrived since the last `forget`, of one model or of all."""
        return [entry for entry in self.requests() if _is_call(entry, model)]

    def requests(self) -> list[Received]:
        """Everything that arrived in a protocol since the last `forget`."""
        return [Received(**entry) for entry in self._http.get("received").json()]

    def forget(self) -> None:
        """Forget what was received."""
        self._http.delete("received").raise_for_status()

    def close(self) -> None:
        self._http.close()


def _is_call(entry: Received, model: str | None) -> bool:
    return entry.path.endswith(CALLS) and (model is None or entry.body.get("model") == model)


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
