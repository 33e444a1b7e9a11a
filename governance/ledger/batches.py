"""A batch in its parts: what is asked, what it has locked, and what it is about to commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from governance.ledger.changes import LockedWindows, Wanted
from governance.ledger.lease_counters import LockedLeases
from governance.ledger.operations import (
    AdmissionRequest,
    Dismissal,
    Operation,
    Rehold,
    Result,
    Settlement,
    Unmade,
)
from governance.ledger.waiting import Waiting
from governance.models import ModelCall


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations that are decided together, by what they are."""

    settlements: Sequence[Settlement]
    reholds: Sequence[Rehold]
    admissions: Sequence[AdmissionRequest]
    unmade: Sequence[Unmade]
    dismissals: Sequence[Dismissal]

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> Batch:
        """Each kind keeps its order."""
        kinds: dict[type, list[Any]] = defaultdict(list)
        for one in operations:
            kinds[type(one)].append(one)
        return cls(
            kinds[Settlement],
            kinds[Rehold],
            kinds[AdmissionRequest],
            kinds[Unmade],
            kinds[Dismissal],
        )


@dataclass(frozen=True, slots=True)
class Locked:
    """What a batch has locked, and the rows of calls that begin with it."""

    calls: dict[UUID, ModelCall]
    wanted: Mapping[UUID, Wanted]
    windows: LockedWindows
    leases: LockedLeases
    waits: Waiting
    new: list[ModelCall] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A batch that is about to be committed: what it answers, and the calls that begin with it."""

    operations: Sequence[Operation]
    results: list[Result]
    new: Sequence[ModelCall]
