"""The spend explorer: what was spent by anything, over time, down to the calls."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from governance.models import CallStatus, Team
from governance.money import decimal_text, dollars_text
from governance.usage import Totals
from governance.usage.adding import Key
from governance.usage.cube import Cube, cube
from palyra_site.console import permissions
from palyra_site.console.charts import days_of
from palyra_site.console.dimensions import (
    DIMENSIONS,
    ENDED,
    FORGOTTEN,
    Dimension,
    calls_address,
    chosen,
    labels,
    of_list,
    text_of,
    where,
)
from palyra_site.console.filters import PERIODS, Filter, read
from palyra_site.console.overview import spend_chart
from palyra_site.console.zones import viewers_zone
from providers.csv_cells import cell
from providers.display import bar

STEPS = ("day", "week", "month")
MOST_ROWS = 200
WHOLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """A value that spend is narrowed to, and where it is not."""

    title: str
    label: str
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one value used, and where its parts and its calls are."""

    label: str
    deeper: str
    calls_address: str
    failed_address: str
    blocked_address: str
    totals: Totals
    cost: str
    share: str
    meter: str
    each: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A filter with the values it is narrowed to, and what these are called."""

    filter: Filter
    keys: dict[str, Key]
    names: dict[str, str]
    zone: ZoneInfo

    @property
    def parameters(self) -> dict[str, str]:
        """The address's parameters; what is usual is left out."""
        shown = {**self.filter.parameters}
        shown |= {"by": self.filter.by} if self.filter.by != "team" else {}
        shown |= {"step": self.filter.step} if self.filter.step != STEPS[0] else {}
        return shown | {name: text_of(name, key) for name, key in self.keys.items()}

    def address(self, **changes: str) -> str:
        """The explorer with other parameters; an empty one is left out."""
        parameters = {**self.parameters, **changes}
        text = urlencode({name: value for name, value in parameters.items() if value})
        return f"{reverse('admin:spend')}?{text}" if text else reverse("admin:spend")

    @cached_property
    def of_list(self) -> dict[str, str] | None:
        """The parameters of the list of calls with exactly those that are summed here; None if no
        list has them."""
        found = {"period": self.filter.period.name, "status__in": ENDED}
        for name, key in self.keys.items():
            of_key = of_list(name, key, self._beside(name, key))
            if of_key is None:
                return None
            found |= of_key
        return found

    def _beside(self, name: str, key: Key) -> dict[Key, str]:
        """What the values are called among which one is chosen: of none, all that have calls."""
        if key[0] or name not in FORGOTTEN:
            return {key: self.names[name]}
        others = {other: value for other, value in self.keys.items() if other != name}
        return labels(name, list(_cube(self, name, others).of_keys))


@require_safe
def spend(request: HttpRequest, context: Mapping[str, Any]) -> HttpResponseBase:
    """The page, or with `format=csv` what it shows as a file."""
    if not permissions.may_view_calls(request):
        raise PermissionDenied
    asked = _asked(request)
    as_file = request.GET.get("format") == "csv"
    if as_file and asked.filter.faults:
        faults = "\n".join(asked.filter.faults)
        return HttpResponse(f"{faults}\n", status=400, content_type="text/plain; charset=utf-8")
    found = _cube(asked, asked.filter.by, asked.keys)
    if as_file:
        return _file(asked, found)
    return TemplateResponse(request, "admin/spend.html", {**context, **_shown(asked, found)})


def _asked(request: HttpRequest) -> Asked:
    zone = viewers_zone(request)
    given = request.GET.dict()
    keys, faults = chosen(given)
    teams = dict(Team.objects.order_by("name").values_list("pk", "name"))
    found = read(
        given,
        today=timezone.now().astimezone(zone).date(),
        zone=zone,
        teams=teams,
        dimensions=tuple(DIMENSIONS),
        steps=STEPS,
    )
    if faults or found.faults:
        every = tuple(dict.fromkeys((*found.faults, *faults)))
        usual = read(
            {},
            today=timezone.now().astimezone(zone).date(),
            zone=zone,
            teams=teams,
            dimensions=tuple(DIMENSIONS),
            steps=STEPS,
        )
        return Asked(filter=_with_faults(usual, every), keys={}, names={}, zone=zone)
    names = {name: labels(name, [key])[key] for name, key in keys.items()}
    return Asked(filter=found, keys=keys, names=names, zone=zone)


def _with_faults(usual: Filter, faults: tuple[str, ...]) -> Filter:
    return Filter(period=usual.period, by=usual.by, step=usual.step, faults=faults)


def _cube(asked: Asked, by: str, keys: Mapping[str, Key]) -> Cube:
    span = asked.filter.period.span
    return cube(
        by=by,
        step=asked.filter.step,
        since=span.since,
        until=span.until,
        zone=asked.zone,
        where=where(keys),
    )


def _shown(asked: Asked, found: Cube) -> dict[str, Any]:
    by = DIMENSIONS[asked.filter.by]
    keys = list(found.of_keys)
    names = labels(by.name, keys)
    return {
        "title": "Spend",
        "chosen": asked.filter,
        "periods": PERIODS.items(),
        "teams": Team.objects.order_by("name"),
        "zone": asked.zone.key,
        "dimensions": DIMENSIONS.values(),
        "steps_to_choose": STEPS,
        "by": by,
        "kept_parameters": [
            (name, text_of(name, key)) for name, key in asked.keys.items() if name != "team"
        ],
        "narrowed": [_narrowed(asked, name) for name in asked.keys],
        "rows": [_row(asked, found, by, key, names) for key in keys[:MOST_ROWS]],
        "left_out": max(0, len(keys) - MOST_ROWS),
        "whole": _whole(asked, found),
        "chart": spend_chart(found, names, asked.zone, _of_chart(asked)),
        "step_title": asked.filter.step.capitalize(),
        "file": asked.address(format="csv"),
        "usual": reverse("admin:spend"),
    }


def _of_chart(asked: Asked) -> dict[str, str] | None:
    if asked.of_list is None:
        return None
    return {name: text for name, text in asked.of_list.items() if name != "period"}


def _narrowed(asked: Asked, name: str) -> Narrowed:
    return Narrowed(
        title=DIMENSIONS[name].title,
        label=asked.names[name],
        without=asked.address(**{name: ""}),
    )


def _row(asked: Asked, found: Cube, by: Dimension, key: Key, names: Mapping[Key, str]) -> Row:
    totals, whole = found.of_keys[key], found.whole.cost
    percent = totals.cost * WHOLE / whole if whole else 0.0
    share = f"{percent:.1f} %"
    return Row(
        label=names[key],
        deeper=_deeper(asked, by, key),
        **_addresses(asked.of_list, of_list(by.name, key, names)),
        totals=totals,
        cost=dollars_text(totals.cost),
        share=share,
        meter=bar(consumed=percent, held=0, label=share),
        each=_each(totals),
    )


def _addresses(of_all: dict[str, str] | None, of_key: dict[str, str] | None) -> dict[str, str]:
    """The lists of all calls, of those that failed and of those that budgets refused."""
    if of_all is None or of_key is None:
        return {"calls_address": "", "failed_address": "", "blocked_address": ""}
    found = {**of_all, **of_key}
    of_any = {name: text for name, text in found.items() if name != "status__in"}
    return {
        "calls_address": calls_address(**found),
        "failed_address": calls_address(**of_any, status__exact=CallStatus.FAILED.value),
        "blocked_address": calls_address(**of_any, status__exact=CallStatus.BLOCKED.value),
    }


def _deeper(asked: Asked, by: Dimension, key: Key) -> str:
    """The explorer of this value alone, by the first other thing that is not narrowed yet."""
    narrowed = {*asked.keys, by.name}
    wanted = (by.next, *DIMENSIONS)
    next_one = next((name for name in wanted if name not in narrowed), "")
    if not next_one or (by.name == "team" and not key[0]):
        return ""
    return asked.address(**{by.name: text_of(by.name, key), "by": next_one})


def _each(totals: Totals) -> str:
    """What one call that was charged cost on average."""
    charged = totals.calls - totals.blocked - totals.denied - totals.unpriced
    return dollars_text(totals.cost // charged) if charged > 0 else "–"


def _whole(asked: Asked, found: Cube) -> Row:
    return Row(
        label="Together",
        deeper="",
        **_addresses(asked.of_list, {}),
        totals=found.whole,
        cost=dollars_text(found.whole.cost),
        share="",
        meter="",
        each=_each(found.whole),
    )


# The file's columns after those that say what and when.
SUMS = (
    "calls",
    "succeeded",
    "failed",
    "cancelled",
    "blocked",
    "denied",
    "unconfirmed",
    "unpriced",
    "cached",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
ROWS_AT_ONCE = 500


class _Line:
    """Gives back each line that a CSV writer writes."""

    def write(self, text: str) -> str:
        return text


def _file(asked: Asked, found: Cube) -> StreamingHttpResponse:
    """Every step and value of the page, none left out, with exact amounts."""
    period = asked.filter.period
    response = StreamingHttpResponse(
        _chunks(list(_lines(asked, found))), content_type="text/csv; charset=utf-8"
    )
    name = f"spend-by-{asked.filter.by}-{period.first}-{period.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _lines(asked: Asked, found: Cube) -> Iterator[str]:
    writer = csv.writer(_Line())
    by = asked.filter.by
    names = labels(by, list(found.of_keys))
    yield writer.writerow(["first_day", "last_day", "zone", by, "id", "cost", *SUMS])
    order = list(found.of_keys)
    for step, (since, until) in enumerate(found.steps):
        first, last = days_of(since, until, asked.zone)
        for key in order:
            totals = found.cells.get((step, key))
            if totals is not None:
                named = [cell(names[key]), _id(by, key)]
                sums = [getattr(totals, name) for name in SUMS]
                cost = decimal_text(totals.cost)
                yield writer.writerow([first, last, asked.zone.key, *named, cost, *sums])


def _chunks(lines: list[str]) -> Iterator[str]:
    for first in range(0, len(lines), ROWS_AT_ONCE):
        yield "".join(lines[first : first + ROWS_AT_ONCE])


def _id(by: str, key: Key) -> Any:
    """The key as an address has it; a lone “-” is no formula."""
    text = text_of(by, key)
    return text if text == "-" else cell(text)
