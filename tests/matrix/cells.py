"""The cells of the matrix: a provider, a model and a price for each, and what the ledger has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import Any

from governance import keys
from governance.models import BudgetWindow, ModelCall, ProviderLease
from providers.failures import FailureClass
from providers.models import ProviderKind
from tests.matrix.operations import CHATS, LARGEST_ANSWER, Answered, Operation, ask
from tests.support.factories import (
    make_credential,
    make_model,
    make_policy,
    make_price,
    make_provider,
    make_team,
)
from tests.support.faults import SUCCESS, Behaviour, Fault
from tests.support.serving import serving
from tests.support.upstream import Upstream

INPUT_NANO_DOLLARS, OUTPUT_NANO_DOLLARS = 1_000, 2_000
# Long enough for a busy machine, short enough that a whole matrix of waiting takes little time.
TOTAL_TIMEOUT, FIRST_TOKEN_TIMEOUT = 3.0, 2.0
PATIENT = 60.0
# A family whose models can be held to a schema by the host.
CLAUDE = "claude-sonnet-4-5"
OPERATIONS: dict[ProviderKind, tuple[Operation, ...]] = {
    ProviderKind.DETERMINISTIC: tuple(Operation),
    ProviderKind.OPENAI_COMPATIBLE: tuple(Operation),
    ProviderKind.ANTHROPIC: CHATS,
}
REMOTE = (ProviderKind.OPENAI_COMPATIBLE, ProviderKind.ANTHROPIC)
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is wrong: how the upstream behaves, or an address in its place, or what is rehearsed.

    Only a host that hangs is given a short time to answer: a slow machine makes nobody else late.
    """

    behaviour: Behaviour = SUCCESS
    address: str = ""
    rehearsed: FailureClass | None = None

    @property
    def hangs(self) -> bool:
        """Whether the host is to be given up."""
        return self.behaviour.fault in {Fault.HANGS_BEFORE_HEADERS, Fault.HANGS_IN_BODY}


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of provider that is asked something, by a model name of its own."""

    kind: ProviderKind
    operation: Operation
    model: str
    upstream_name: str

    def __str__(self) -> str:
        return f"{self.kind.value} × {self.operation}"


@dataclass(frozen=True, slots=True)
class Happened:
    """What came of asking: the answer, and the ledger's row."""

    cell: Cell
    answered: Answered
    call: ModelCall

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """Each attempt's outcome and failure class."""
        return [(one["outcome"], one["failure_class"]) for one in self.call.attempts]


def make_key() -> str:
    """The key of a team with a budget of money that has plenty of room."""
    team = make_team(slug="blue")
    make_policy(name="Monthly", hard_limit=10**12)
    return keys.create(team=team, name="The tests'").text


def make_cell(
    kind: ProviderKind, operation: Operation, setting: Setting, upstream: Upstream
) -> Cell:
    """A provider with one credential, a model and its price, and the upstream told."""
    number = next(_numbers)
    name = f"{operation}-{number}"
    cell = Cell(kind, operation, name, f"{CLAUDE}.{name}" if kind in REMOTE else name)
    fields: dict[str, Any] = {
        "name": f"provider-of-{name}",
        "kind": kind,
        "total_timeout": TOTAL_TIMEOUT if setting.hangs else PATIENT,
        "first_token_timeout": FIRST_TOKEN_TIMEOUT if setting.hangs else PATIENT,
        "max_retries": 2,
        "retry_backoff_ms": 1,
        "breaker_threshold": 100,
    }
    if kind in REMOTE:
        fields["base_url"] = setting.address or _base_url(kind, upstream)
        upstream.behave(cell.upstream_name, setting.behaviour)
    elif setting.rehearsed:
        fields["rehearsal_failure_percent"] = 100
        fields["rehearsal_failure_class"] = setting.rehearsed.value
    provider = make_provider(**fields)
    if kind in REMOTE:
        make_credential(provider)
    model = make_model(
        provider=provider,
        name=name,
        upstream_name=cell.upstream_name,
        role=operation.role,
        max_output_tokens=LARGEST_ANSWER,
        vision=True,
    )
    make_price(model)
    return cell


def _base_url(kind: ProviderKind, upstream: Upstream) -> str:
    return upstream.anthropic_base_url if kind is ProviderKind.ANTHROPIC else upstream.base_url


async def ask_all(key: str, cells: list[Cell]) -> list[Happened]:
    """Ask every cell at once, each once, and read the ledger when all of it is settled."""
    async with serving(key) as served:
        answers = await asyncio.gather(
            *(ask(served.client, one.operation, one.model) for one in cells)
        )
        await served.stop()
        calls = {call.requested_model: call async for call in ModelCall.objects.all()}
    assert len(calls) == len(cells)
    return [
        Happened(cell, answered, calls[cell.model])
        for cell, answered in zip(cells, answers, strict=True)
    ]


async def held() -> int:
    """What is held in all windows, and how many calls are counted as under way."""
    windows = [window.held async for window in BudgetWindow.objects.all()]
    leases = [lease.in_use async for lease in ProviderLease.objects.all()]
    return sum(windows) + sum(leases)
