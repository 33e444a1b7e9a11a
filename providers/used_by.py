"""What uses a provider, for whoever is about to switch it off.

Calls, budgets and scheduled prompts belong to the rooms above, which register here how to find
them when they are ready.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from providers.models import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One kind of thing that uses it: how many, and in words. `is_history` says that deleting the
    provider would leave an account without what it is about."""

    count: int
    says: str
    is_history: bool = False


class UseFinder(Protocol):
    """Finds what of one room uses a provider."""

    def uses_of(self, provider: Provider) -> Iterable[Use]:
        """What uses it now, or did; a bounded number of queries."""

    def has_history(self, provider: Provider) -> bool:
        """Whether anything was ever charged there; one query."""


_finders: list[UseFinder] = []


def register_use_finder(finder: UseFinder) -> None:
    """Have `finder` asked from now on."""
    _finders.append(finder)


def uses_of(provider: Provider) -> list[Use]:
    """Everything that uses the provider, or did; nothing that counts none."""
    return [one for finder in _finders for one in finder.uses_of(provider) if one.count]


def has_history(provider: Provider) -> bool:
    """Whether the account names the provider, so that it is disabled and not deleted."""
    return any(finder.has_history(provider) for finder in _finders)
