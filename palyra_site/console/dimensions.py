"""What spend is grouped by in the console: what its values are called and which list has their
calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

from governance.models import CallStatus
from governance.usage.adding import Key
from governance.usage.names import GONE, NOBODY, named
from scheduling.models import CronJob

# The calls that sums count: all that have ended.
ENDED = ",".join(
    status.value
    for status in CallStatus
    if status not in {CallStatus.IN_FLIGHT, CallStatus.WAITING}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """Something spend is grouped by. `column` is the list of calls' own; `none` is that list's
    parameter for calls without a value."""

    name: str
    title: str
    many: str
    column: str
    none: str = ""
    # What one looks at next, once a value has been chosen.
    next: str = "model"


DIMENSIONS = {
    one.name: one
    for one in (
        Dimension(name="team", title="Team", many="teams", column="team__id__exact", next="key"),
        Dimension(
            name="key",
            title="Key",
            many="keys",
            column="api_key__id__exact",
            none="api_key__isnull",
        ),
        Dimension(name="model", title="Model", many="models", column="model_used", next="team"),
        Dimension(
            name="provider", title="Provider", many="providers", column="provider", next="model"
        ),
        Dimension(
            name="job",
            title="Scheduled prompt",
            many="scheduled prompts",
            column="job_id",
            none="job_id__isnull",
        ),
        Dimension(
            name="person",
            title="Person",
            many="people",
            column="user__id__exact",
            none="user__isnull",
        ),
    )
}
# A call forgets whose it was once that is deleted; the sums do not.
FORGOTTEN = ("key", "person")


def calls_address(**filters: Any) -> str:
    """The list of calls that `filters` leave."""
    address = _list_of_calls()
    return f"{address}?{urlencode(filters)}" if filters else address


@cache
def _list_of_calls() -> str:
    """Looked up once: a chart has hundreds of links to it."""
    return reverse("admin:governance_modelcall_changelist")


def labels(by: str, keys: Collection[Key]) -> dict[Key, str]:
    """What each key of `by` is called: one query at most."""
    if by == "job":
        return _jobs(keys)
    return {key: name.label for key, name in named(by, keys).items()}


def _jobs(keys: Collection[Key]) -> dict[Key, str]:
    known = CronJob.objects.filter(pk__in=[UUID(key[0]) for key in keys if key[0]])
    names = {str(pk): name for pk, name in known.order_by().values_list("pk", "name")}
    return {key: names.get(key[0], GONE) if key[0] else NOBODY["job"] for key in keys}


def of_list(by: str, key: Key, labels: Mapping[Key, str]) -> dict[str, str] | None:
    """The parameters of the list of calls that has those of `key`; None if no list does.

    Of a key or a person that was deleted the calls no longer say whose they were, so neither these
    nor the calls that never had one can be listed apart. `labels` are of all values among which
    `key` stands, of each narrowing by itself.
    """
    one = DIMENSIONS[by]
    if by == "model":
        provider, model = key
        if provider and model:
            return {one.column: f"{provider}/{model}"}
        return {"provider__exact": provider, "model__exact": model}
    if by == "provider":
        return {one.column if key[0] else "provider__exact": key[0]}
    if not key[0]:
        mixed = by in FORGOTTEN and GONE in labels.values()
        return None if mixed else {one.none: "True"}
    if labels[key] == GONE and by in FORGOTTEN:
        return None
    return {one.column: str(key[0])}


def chosen(given: Mapping[str, str]) -> tuple[dict[str, Key], list[str]]:
    """The values that an address narrows spend to, by dimension, and what is wrong with it.

    `-` stands for calls without a value.
    """
    found: dict[str, Key] = {}
    faults: list[str] = []
    for name, dimension in DIMENSIONS.items():
        text = given.get(name, "")
        if not text:
            continue
        try:
            found[name] = _key(name, text)
        except ValueError:
            faults.append(f"There is no such {dimension.title.lower()}.")
    return found, faults


def text_of(by: str, key: Key) -> str:
    """The key as `chosen` reads it."""
    if by == "model":
        return "/".join(key) if any(key) else "-"
    return str(key[0]) if key[0] else "-"


LONGEST_NUMBER = 18
LONGEST_NAME = 251


def _key(name: str, text: str) -> Key:
    if name == "model":
        provider, slash, model = text.partition("/")
        if text != "-" and (not slash or len(text) > LONGEST_NAME or "\0" in text):
            raise ValueError(text)
        return ("", "") if text == "-" else (provider, model)
    if name == "provider":
        if len(text) > LONGEST_NAME or "\0" in text:
            raise ValueError(text)
        return ("" if text == "-" else text,)
    if name == "job":
        return ("" if text == "-" else str(UUID(text)),)
    if name == "team" and text == "-":
        raise ValueError(text)
    if text == "-":
        return (0,)
    if not text.isdecimal() or len(text) > LONGEST_NUMBER:
        raise ValueError(text)
    return (int(text),)


def where(values: Mapping[str, Key]) -> dict[str, Any]:
    """The columns of the sums that `values` narrow them to."""
    columns: dict[str, Any] = {}
    for name, key in values.items():
        if name == "model":
            columns |= {"provider": key[0], "model": key[1]}
        else:
            columns[_COLUMNS[name]] = key[0]
    return columns


_COLUMNS = {
    "team": "team_id",
    "key": "api_key_id",
    "person": "user_id",
    "job": "job",
    "provider": "provider",
}
