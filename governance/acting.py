"""Who is acting now: what the audit trail names as the one who made a change.

Each face says so around what it does; where none does, it is the system itself.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """Somebody in words, the person's id if it is one, and by which face and from where."""

    actor: str
    user_id: int | None = None
    surface: str
    address: str = ""

    @property
    def is_system(self) -> bool:
        """Whether nobody asked for it."""
        return self.surface == SYSTEM


SYSTEM = "system"
COMMAND_LINE = "command line"
CONSOLE = "console"
TEAM_PAGES = "team pages"
API = "api"
SIGN_IN = "sign-in"
SURFACES = (CONSOLE, TEAM_PAGES, API, SIGN_IN, COMMAND_LINE, SYSTEM)

Find = Callable[[], Acting]
_find: ContextVar[Find | None] = ContextVar("palyra_acting", default=None)


def current() -> Acting:
    """Who is acting in this context."""
    find = _find.get()
    return Acting(actor=SYSTEM, surface=SYSTEM) if find is None else find()


@contextmanager
def acting(find: Find) -> Iterator[None]:
    """Let `find` say who is acting within the block. It is only asked when something changes."""
    token = _find.set(find)
    try:
        yield
    finally:
        _find.reset(token)


def operator() -> Acting:
    """Whoever typed this process's command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "an operator"
    return Acting(actor=name, surface=COMMAND_LINE)
