"""Plain text in columns, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = "  "


def aligned(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """`rows` under their headings, each column as wide as its widest cell; none ends in blanks."""
    cells = [list(headings), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = (
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _text(cell: object) -> str:
    """A cell in one line; nothing known is a dash."""
    if cell is None or cell == "":
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return " ".join(str(cell).split())
