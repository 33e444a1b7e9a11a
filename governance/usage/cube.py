"""What was used by time and by one thing more, with the keys that the sums are kept by.

What a page shows as a chart, as a table and as a file is one reading: they agree with each other
to the last call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any

from django.utils import timezone

from governance.ledger.rollups import SUMS
from governance.usage.adding import Key
from governance.usage.frames import Range, bounds
from governance.usage.local_days import add_up_days
from governance.usage.names import COLUMNS
from governance.usage.reports import Totals, together


@dataclass(frozen=True, kw_only=True)
class Cube:
    """Totals by the number of the step and the key of the value; whatever had no calls is left
    out. `bounds` are the steps' beginnings and, last, the end."""

    by: str
    bounds: tuple[datetime, ...]
    cells: Mapping[tuple[int, Key], Totals]

    @property
    def steps(self) -> list[Range]:
        """When each step begins and ends."""
        return list(zip(self.bounds, self.bounds[1:], strict=False))

    @cached_property
    def of_keys(self) -> dict[Key, Totals]:
        """Each value's totals over all steps, the dearest first."""
        parts: dict[Key, list[Totals]] = defaultdict(list)
        for (_, key), totals in self.cells.items():
            parts[key].append(totals)
        found = {key: together(totals) for key, totals in parts.items()}
        order = sorted(found, key=lambda key: (-found[key].cost, -found[key].calls, key))
        return {key: found[key] for key in order}

    @cached_property
    def of_steps(self) -> dict[int, Totals]:
        """Each step's totals over all values."""
        parts: dict[int, list[Totals]] = defaultdict(list)
        for (step, _), totals in self.cells.items():
            parts[step].append(totals)
        return {step: together(totals) for step, totals in parts.items()}

    @cached_property
    def whole(self) -> Totals:
        """Everything together."""
        return together(self.of_keys.values())


def cube(
    *,
    by: str,
    step: str,
    since: datetime,
    until: datetime,
    zone: tzinfo,
    where: Mapping[str, Any],
) -> Cube:
    """What was used from `since` until before `until` in steps of the zone's days, weeks or
    months, by `by`, one of `names.COLUMNS`. Six queries at most. Raises `TooManySteps` and
    `OverflowError` as `frames.bounds` does."""
    marks = tuple(bounds(step, zone, since, until))
    found = add_up_days(marks, timezone.now(), keys=COLUMNS[by], sums=SUMS, where=where)
    cells = {
        (key[0], key[1:]): Totals(**dict(zip(SUMS, amounts, strict=True)))
        for key, amounts in found.items()
    }
    return Cube(by=by, bounds=marks, cells=cells)
