"""Lists in pages: complete, in order, and steady while rows come and go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import signing

from governance.models import ModelCall, Team
from tests.api.callers import Caller
from tests.api.problems import faults
from tests.api.sides import NOON, make_call, make_job, make_run
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db


def page(caller: Caller, path: str, **query: Any) -> tuple[list[str], str | None]:
    """The ids of one page, and the cursor behind it."""
    body = caller.get(path, **query).json()
    return [item.get("id") or item["slug"] for item in body["items"]], body["next_cursor"]


def every_page(caller: Caller, path: str, **query: Any) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        ids, cursor = page(caller, path, **query, **({"cursor": cursor} if cursor else {}))
        pages.append(ids)
        if cursor is None:
            return pages


def test_every_row_comes_once_and_in_order(integration: Caller, team: Team) -> None:
    # Several at the same instant, so that the position must tell them apart.
    calls = [make_call(team, admitted_at=NOON + timedelta(hours=n // 3)) for n in range(8)]
    in_order = sorted(calls, key=lambda call: (call.admitted_at, call.pk), reverse=True)
    pages = every_page(integration, "/calls", limit=3)
    assert [len(ids) for ids in pages] == [3, 3, 2]
    assert [one for ids in pages for one in ids] == [str(call.pk) for call in in_order]


def test_a_list_that_ends_with_a_page_has_no_empty_one(integration: Caller, team: Team) -> None:
    for _ in range(4):
        make_call(team)
    assert [len(ids) for ids in every_page(integration, "/calls", limit=2)] == [2, 2]


def test_an_empty_list_is_one_empty_page(integration: Caller) -> None:
    assert every_page(integration, "/calls") == [[]]


def test_what_comes_or_goes_meanwhile_shifts_nothing(integration: Caller, team: Team) -> None:
    calls = [make_call(team, admitted_at=NOON - timedelta(hours=n)) for n in range(6)]
    first, cursor = page(integration, "/calls", limit=2)
    assert first == [str(calls[0].pk), str(calls[1].pk)]
    make_call(team, admitted_at=NOON + timedelta(hours=1))
    ModelCall.objects.filter(pk__in=[calls[1].pk, calls[2].pk]).delete()
    second, _ = page(integration, "/calls", limit=2, cursor=cursor)
    assert second == [str(calls[3].pk), str(calls[4].pk)]


def test_a_filter_holds_on_every_page(integration: Caller, team: Team) -> None:
    for model in ("small", "large") * 3:
        make_call(team, model=model)
    pages = every_page(integration, "/calls", limit=2, model="large")
    assert sum(len(ids) for ids in pages) == 3


def test_lists_by_name_come_in_order(organisation: Caller) -> None:
    for slug in ("c", "a", "e", "b", "d"):
        make_team(slug=slug)
    assert every_page(organisation, "/teams", limit=2) == [["a", "b"], ["c", "d"], ["e"]]


def test_runs_come_newest_first(integration: Caller, team: Team) -> None:
    job = make_job(team)
    runs = [make_run(job, slot=NOON + timedelta(hours=n)) for n in range(5)]
    pages = every_page(integration, f"/jobs/{job.pk}/runs", limit=2)
    assert [one for ids in pages for one in ids] == [str(run.pk) for run in reversed(runs)]


def signed(value: Any, *, salt: str = "palyra.cursor.governance.modelcall.-admitted_at") -> str:
    return signing.Signer(salt=salt).sign_object(value)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "bm9uc2Vuc2U=",
        "a:b:c",
        "é",
        "x" * 5000,
        signed([NOON.isoformat(), "0"], salt="palyra.cursor.governance.team.slug"),
        signed([NOON.isoformat(), "0"], salt="another"),
        signed([NOON.isoformat(), "0"])[:-1] + "!",
    ],
)
def test_a_bad_cursor_is_422(integration: Caller, cursor: str) -> None:
    found = faults(integration.get("/calls", cursor=cursor))
    assert found.keys() == {"cursor"}
    assert "Begin again" in found["cursor"]


def test_another_lists_cursor_is_422(organisation: Caller, team: Team) -> None:
    for number in range(2):
        make_call(team)
        make_team(slug=f"team-{number}-of-list")
    _, cursor = page(organisation, "/teams", limit=1)
    assert cursor is not None
    assert faults(organisation.get("/calls", cursor=cursor)).keys() == {"cursor"}
