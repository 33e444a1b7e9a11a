"""Reads variables one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

# Values of these may hold a credential, so a fault does not repeat them.
CONFIDENTIAL = ("_KEY", "_URL", "_SECRET")
ValueT = TypeVar("ValueT")


class Reader:
    """Reads variables one by one and gathers their names and what is wrong with them."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self.source = source
        self.names: list[str] = []
        self.defaults: dict[str, str] = {}
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The variable's text; an empty one counts as not given."""
        self.names.append(name)
        self.defaults[name] = default
        try:
            return self.source.get(name, "").strip() or default
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            self.faults.append(f"{name}_FILE names a file that cannot be read ({reason}).")
            return default

    def parsed(self, name: str, default: str, parse: Callable[[str], ValueT], wants: str) -> ValueT:
        """What `parse` makes of it; its ValueError is a fault, and the default is used then."""
        raw = self.text(name, default)
        try:
            return parse(raw)
        except ValueError:
            shown = "the value given" if name.endswith(CONFIDENTIAL) else repr(raw)
            self.faults.append(f"{name}: {shown} is not {wants}.")
            return parse(default)
