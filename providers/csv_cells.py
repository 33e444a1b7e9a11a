"""Values as cells of a CSV file that people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# What a spreadsheet would take for the beginning of a formula; some take the full-width forms too.
FULL_WIDTH = (
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *FULL_WIDTH)


def cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: some of these texts are callers' own."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows of cells as lines of CSV in UTF-8."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
