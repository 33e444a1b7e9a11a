"""A list of the console as CSV: exactly its rows, in its order, with what its columns say.

The keys of the rows are read first and the rows then chunk by chunk, each a query of its own: no
cursor and no transaction is held open, however slowly somebody reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from html.parser import HTMLParser
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.db.models import Model
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from providers.csv_cells import cell, csv_bytes
from providers.display import NOTHING

MOST_ROWS = 100_000
AT_ONCE = 500
CHECKBOX = "action_checkbox"
SECOND_LINE = "palyra-second"
ICON = "material-symbols-outlined"
VOID = {"br", "img", "input", "hr"}


class TooManyRows(Exception):
    """The list is longer than a file may be."""


def response(
    request: HttpRequest, changelist: Any, columns: Mapping[str, str]
) -> StreamingHttpResponse:
    """The rows of `changelist` with `columns`, names of what is shown by heading; if there are
    none, with what the list shows. Raises `TooManyRows`."""
    keys = list(changelist.queryset.values_list("pk", flat=True)[: MOST_ROWS + 1])
    if len(keys) > MOST_ROWS:
        raise TooManyRows
    zone = timezone.get_current_timezone()
    lines = _lines(request, changelist, columns or _shown(changelist), keys, zone)
    what = str(changelist.opts.verbose_name_plural).replace(" ", "-").lower()
    name = f"palyra-{what}-{timezone.localdate():%Y%m%d}.csv"
    return StreamingHttpResponse(
        # Served asynchronously, Django would first gather a plain iterator whole.
        _one_by_one(lines) if isinstance(request, ASGIRequest) else lines,
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _lines(
    request: HttpRequest,
    changelist: Any,
    columns: Mapping[str, str],
    keys: Sequence[Any],
    zone: tzinfo,
) -> Iterator[bytes]:
    names, admin = list(columns.values()), changelist.model_admin
    yield csv_bytes([["id", *columns]])
    rows, changelist.page_num, changelist.list_per_page = changelist.queryset, 1, AT_ONCE
    for start in range(0, len(keys), AT_ONCE):
        # By the time this is read the request is answered, and its zone no longer in force.
        with timezone.override(zone):
            changelist.queryset = rows.filter(pk__in=keys[start : start + AT_ONCE])
            # The list's own way to its rows adds whatever its columns need.
            changelist.get_results(request)
            lines = csv_bytes(_row(one, names, admin) for one in changelist.result_list)
        yield lines


def _shown(changelist: Any) -> dict[str, str]:
    admin = changelist.model_admin
    names = [name for name in changelist.list_display if name != CHECKBOX]
    return {str(label_for_field(name, changelist.model, admin)): name for name in names}


def _row(obj: Model, names: Sequence[str], admin: Any) -> list[Any]:
    return [cell(plain(obj.pk)), *(cell(plain(_value(name, obj, admin))) for name in names)]


def _value(name: str, obj: Model, admin: Any) -> Any:
    """What the list shows of it, or the stored value where a file has columns of its own."""
    field, _, value = lookup_field(name, obj, admin)
    if field is not None and getattr(field, "choices", None) and not admin.csv_columns:
        return getattr(obj, f"get_{name}_display")()
    return value


def plain(value: Any) -> Any:
    """A shown value without its looks; a number stays one, and a time is told in UTC."""
    if value is None or value == NOTHING:
        return ""
    if isinstance(value, SafeString):
        reader = _Reader()
        reader.feed(value)
        return reader.text
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, bool | int | float) else str(value)


async def _one_by_one(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        try:
            return next(chunks, None)
        finally:
            # Whoever reads slowly keeps no connection from the pool between two chunks.
            close_old_connections()

    while (chunk := await sync_to_async(following)()) is not None:
        yield chunk


class _Reader(HTMLParser):
    """The words of a cell: of a time its machine-readable form, of icons nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._words: list[str] = []
        self._silent: list[str] = []

    @property
    def text(self) -> str:
        words = " ".join("".join(self._words).split())
        return "" if words == NOTHING else words.strip("· ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        if self._silent:
            if tag not in VOID:
                self._silent.append(tag)
        elif tag == "time":
            self._words.append(given.get("datetime") or "")
            self._silent.append(tag)
        elif ICON in classes:
            self._silent.append(tag)
        elif SECOND_LINE in classes:
            self._words.append(" · ")
        else:
            self._words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._silent and tag not in VOID:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words.append(data)
