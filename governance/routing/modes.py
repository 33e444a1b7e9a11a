"""What a recommendation does to a call, and who says so: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SUGGEST, DRY_RUN, ENFORCED = "suggest", "dry_run", "enforced"
STRICTNESS = (SUGGEST, DRY_RUN, ENFORCED)
# Who says so, as an explanation names it.
SOURCES = {
    "policy": "a budget asks for it",
    "request": "the request asks for it",
    "key": "the key is set so",
    "team": "the team is set so",
    "auto": "the request leaves the choice open",
    "installation": "the installation is set so",
}


@dataclass(frozen=True, slots=True)
class Mode:
    """A routing mode and, as one of `SOURCES`, where it came from."""

    name: str
    source: str

    @property
    def why(self) -> str:
        """Where it came from, in words."""
        return SOURCES[self.source]


def resolve(
    *,
    policies: Iterable[str] = (),
    request: str | None = None,
    key: str = "",
    team: str = "",
    auto: bool = False,
    installation: str = SUGGEST,
) -> Mode:
    """The mode that holds for a call: what is said nearest to it counts.

    `policies` are the overrides of the policies that count the call, of which the strictest holds;
    with `auto` the call left the choice of model open.
    """
    strictest = max((one for one in policies if one), key=STRICTNESS.index, default="")
    said = (
        (strictest, "policy"),
        (request, "request"),
        (key, "key"),
        (team, "team"),
        (ENFORCED if auto else "", "auto"),
    )
    for name, source in said:
        if name:
            return Mode(name, source)
    return Mode(installation, "installation")
