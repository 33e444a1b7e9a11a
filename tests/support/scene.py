"""The whole scene of a process test: a provider that is a server, Palyra, and who speaks to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.arrangements import register_upstream
from tests.support.client import Person
from tests.support.palyra import Palyra, start_palyra
from tests.support.records import Records
from tests.support.upstream import Upstream, start_upstream


@dataclass(frozen=True, slots=True)
class Scene:
    """Palyra, the upstream its provider points at, and an administrator at the console."""

    palyra: Palyra
    upstream: Upstream
    administrator: Person

    @property
    def records(self) -> Records:
        """Palyra's tables."""
        return self.palyra.records


@contextmanager
def start_scene(*models: str) -> Iterator[Scene]:
    """A scene with these models registered; everything is stopped when the block ends."""
    with start_upstream() as upstream, start_palyra() as palyra:
        administrator = palyra.administrator()
        register_upstream(administrator, upstream, *models)
        yield Scene(palyra, upstream, administrator)
        administrator.close()
