"""Every list as CSV: exactly its rows, for exactly those who may see them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from governance.models import ModelCall, Team
from providers.admin import csv_lists
from providers.admin.base import ConsoleAdmin
from providers.admin.csv_lists import plain
from providers.csv_cells import cell
from providers.display import badge, link, moment, muted, two_lines
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.support.factories import make_team

CALLS = "admin:governance_modelcall_csv"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def rows_of(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def lists() -> list[tuple[str, ConsoleAdmin]]:
    return [
        (f"{model._meta.app_label}_{model._meta.model_name}", one)
        for model, one in admin.site._registry.items()
        if isinstance(one, ConsoleAdmin) and one.is_list
    ]


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (None, ""),
        ("–", ""),
        (3, 3),
        (True, True),
        (NOON, "2026-03-01T12:00:00.000+00:00"),
        (moment(NOON), "2026-03-01T12:00:00.000+00:00"),
        (badge("Live", "good"), "Live"),
        (link("/x/", "A & B"), "A & B"),
        (two_lines("gpt", muted("openai")), "gpt · openai"),
        (mark_safe('<span class="material-symbols-outlined">check</span> Fine'), "Fine"),
        (mark_safe("<b>–</b>"), ""),
        (format_html("{}", "<script>"), "<script>"),
    ],
)
def test_a_shown_value_without_its_looks(shown: Any, words: Any) -> None:
    assert plain(shown) == words


@pytest.mark.parametrize("start", [*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert cell(f"{start}1+1") == f"'{start}1+1"
    assert cell(-1) == -1


def test_every_list_has_its_rows(seeded: Seeded, browser: Client) -> None:
    for name, one in lists():
        page = browser.get(reverse(f"admin:{name}_changelist"), {"all": ""})
        shown = [str(row.pk) for row in page.context["cl"].result_list]
        rows = rows_of(browser.get(reverse(f"admin:{name}_csv")))

        assert [row["id"] for row in rows][: len(shown)] == shown, name
        assert len(rows) == one.model._default_manager.count(), name
        assert not any("<" in text and ">" in text for row in rows for text in row.values()), name


def test_every_list_leads_to_its_file(seeded: Seeded, browser: Client) -> None:
    for name, _ in lists():
        address = reverse(f"admin:{name}_csv")
        assert address in browser.get(reverse(f"admin:{name}_changelist")).content.decode(), name


def test_a_file_has_what_the_list_is_filtered_to_in_its_order(
    seeded: Seeded, browser: Client
) -> None:
    asked = {"status__exact": "failed", "o": "0"}
    expected = ModelCall.objects.filter(status="failed").order_by("admitted_at", "pk")

    rows = rows_of(browser.get(reverse(CALLS), asked))

    assert expected
    assert [row["id"] for row in rows] == [str(one.pk) for one in expected]
    html = browser.get(reverse("admin:governance_modelcall_changelist"), asked).content.decode()
    assert f"{reverse(CALLS)}?status__exact=failed&amp;o=0" in html


def test_a_calls_figures_are_exact(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    ModelCall.objects.filter(pk=call.pk).update(cost=1_234_567, error="=HYPERLINK()")

    (row,) = rows_of(browser.get(reverse(CALLS), {"q": str(call.pk)}))

    assert row["cost"] == "0.001234567"
    assert row["error"] == "'=HYPERLINK()"
    assert row["team"] == call.team.slug
    assert datetime.fromisoformat(row["admitted_at"]) == call.admitted_at.replace(
        microsecond=call.admitted_at.microsecond // 1000 * 1000
    )


def test_a_file_comes_chunk_by_chunk(
    db: None, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_lists, "AT_ONCE", 2)
    names = [make_team(name=f"Team {number:02}").name for number in range(5)]

    response: Any = browser.get(reverse("admin:governance_team_csv"))
    chunks = list(response.streaming_content)

    assert len(chunks) == 1 + 3
    text = b"".join(chunks).decode()
    assert [text.index(name) for name in names] == sorted(text.index(name) for name in names)


async def test_a_file_read_slowly_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(2):
            happened.append("read")
            yield b"a,b"

    monkeypatch.setattr(csv_lists, "close_old_connections", lambda: happened.append("closed"))

    async for _ in csv_lists._one_by_one(chunks()):
        happened.append("sent")

    assert happened == ["read", "closed", "sent"] * 2 + ["closed"]


def test_between_chunks_the_readers_own_zone_is_in_force(db: None, browser: Client) -> None:
    make_team()
    response: Any = browser.get(reverse("admin:governance_team_csv"))

    with timezone.override(ZoneInfo("Asia/Tokyo")):
        for _ in response.streaming_content:
            assert timezone.get_current_timezone_name() == "Asia/Tokyo"


def test_what_is_too_long_is_refused_whole_in_words(
    db: None, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_lists, "MOST_ROWS", 2)
    for _ in range(3):
        make_team()

    response = browser.get(
        reverse("admin:governance_team_csv"), {"enabled__exact": "1"}, follow=True
    )

    assert response.redirect_chain == [
        (f"{reverse('admin:governance_team_changelist')}?enabled__exact=1", 302)
    ]
    assert "more than 2 rows" in response.content.decode()


def test_a_file_is_for_those_who_may_see_the_list(seeded: Seeded) -> None:
    somebody = signed_in(staff("somebody", "governance.view_team"))

    assert len(rows_of(somebody.get(reverse("admin:governance_team_csv")))) == Team.objects.count()
    assert somebody.get(reverse(CALLS)).status_code == 403


def test_odd_filters_lead_back_to_the_list(seeded: Seeded, browser: Client) -> None:
    response = browser.get(reverse(CALLS), {"no_such_field": "1"})

    assert response.status_code == 302
    assert response["Location"].endswith("/admin/governance/modelcall/?e=1")


def test_secrets_are_in_no_file(seeded: Seeded, browser: Client) -> None:
    from providers.models import Secret  # noqa: PLC0415 - for this test alone

    for name, _ in lists():
        response: Any = browser.get(reverse(f"admin:{name}_csv"))
        text = b"".join(response.streaming_content).decode()
        for secret in Secret.objects.exclude(ciphertext=""):
            assert secret.ciphertext not in text
        assert "secret_hash" not in text


def test_a_files_queries_do_not_grow_with_its_rows(
    db: None, browser: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(40):
        make_team()

    with django_assert_max_num_queries(14):
        rows_of(browser.get(reverse("admin:governance_team_csv")))
