"""The ledger's list and a call's story."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from governance.admin.periods import days, named_days
from governance.admin.story import tell
from governance.models import CallStatus, ModelCall, Price
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of
from tests.support.factories import make_model, make_price, make_tier

LIST = "admin:governance_modelcall_changelist"
PRAGUE = ZoneInfo("Europe/Prague")
TODAY = date(2026, 3, 31)


def _page(call: ModelCall) -> str:
    return reverse("admin:governance_modelcall_change", args=[call.pk])


def test_a_story_is_told_in_order(seeded: Seeded, browser: Client) -> None:
    call = seeded.call

    text = text_of(browser.get(_page(call)).content.decode())

    chapters = [text.index(word) for word in ("Asked ", "Decided: ", "Held ", "Tried ", "Settled ")]
    assert chapters == sorted(chapters)
    for sentence in call.decision["explanation"]:
        assert sentence in text
    for said in call.evaluations:
        assert said["explanation"] in text


def test_what_the_buckets_cost_adds_up(seeded: Seeded) -> None:
    call = seeded.call
    price = call.price
    assert price is not None
    parts = (
        (call.uncached_input_tokens or 0) * price.uncached_input,
        (call.cache_read_tokens or 0) * (price.cache_read or price.uncached_input),
        (call.output_tokens or 0) * price.output,
    )

    assert abs(sum(parts) // 1_000_000 + price.per_request - (call.cost or 0)) <= 1
    assert tell(call).buckets[0].name == "Input"


def test_a_blocked_call_says_what_blocked_it(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    call.status, call.holds, call.attempts = CallStatus.BLOCKED, [], []
    call.evaluations[0]["outcome"] = "blocked"
    call.save()

    text = text_of(browser.get(_page(call)).content.decode())

    assert "Refused by a budget" in text
    assert "Nothing was held and nothing was sent" in text


def test_a_kept_answer_is_told_as_one(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    call.cached, call.attempts, call.latency_ms = True, [], 0
    call.save()

    text = text_of(browser.get(_page(call)).content.decode())

    assert "Nothing had to be sent: the answer was kept from a call just before." in text
    assert "as far as is known" not in text
    assert "The provider took" not in text


def test_kept_answers_are_marked_in_the_list_and_can_be_picked_out(
    seeded: Seeded, browser: Client
) -> None:
    ModelCall.objects.update(cached=False)
    assert "kept answer" not in text_of(browser.get(reverse(LIST)).content.decode())

    ModelCall.objects.filter(pk=seeded.call.pk).update(cached=True)
    page = browser.get(reverse(LIST), {"cached__exact": "1"})

    assert [one.pk for one in page.context["cl"].result_list] == [seeded.call.pk]
    assert "kept answer" in text_of(page.content.decode())


def test_a_call_that_nobody_could_take_says_so(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    passed_over = {"provider": "a", "model": "m", "outcome": "skipped", "message": "Held back."}
    call.status, call.holds, call.attempts = CallStatus.FAILED, [], [passed_over]
    call.save()

    text = text_of(browser.get(_page(call)).content.decode())

    assert "No provider could take the call, so nothing was held and nothing was sent." in text
    assert "No budget counts this call" not in text
    assert "The provider took" not in text


def test_a_call_of_unknown_cost_says_so(seeded: Seeded) -> None:
    call = ModelCall(cost=None, price=None, status=CallStatus.SUCCEEDED)

    story = tell(call)

    assert story.cost == "–"
    assert story.estimate == "Not known: the model had no price."
    assert {bucket.cost for bucket in story.buckets} == {"–"}


def test_a_fraction_of_a_nano_dollar_is_not_lost_in_a_float(db: None) -> None:
    price = Price.objects.create(model=make_model(), uncached_input=10**17 + 1, output=0)
    call = ModelCall(price=price, uncached_input_tokens=3_000_000, output_tokens=0)

    assert tell(call).buckets[0].cost == "$300,000,000.00"


def test_a_long_context_is_shown_at_the_rates_it_was_charged(db: None) -> None:
    price = make_price(make_model(), cache_read=10**8)
    make_tier(price, above=100, uncached_input=3 * 10**9, cache_read=2 * 10**8, output=5 * 10**9)

    def rates(uncached: int) -> list[str]:
        call = ModelCall(
            price=price,
            uncached_input_tokens=uncached,
            cache_read_tokens=1,
            output_tokens=1000,
        )
        return [bucket.rate for bucket in tell(call).buckets]

    assert rates(99) == ["$1.00", "$0.10", "$2.00"]
    assert rates(100) == ["$3.00", "$0.20", "$5.00"]


def test_links_are_for_those_who_may_follow_them(seeded: Seeded) -> None:
    looker = signed_in(staff("looker", "governance.view_modelcall"))

    html = looker.get(_page(seeded.call)).content.decode()

    for name in ("team", "apikey", "budgetpolicy", "budgetwindow", "price"):
        assert f"/admin/governance/{name}/" not in html, name


def test_prompts_and_answers_are_not_in_the_ledger() -> None:
    fields = {field.name for field in ModelCall._meta.get_fields()}

    assert not fields & {"prompt", "messages", "output", "answer", "body"}


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("today", (TODAY, TODAY)),
        ("yesterday", (date(2026, 3, 30), date(2026, 3, 30))),
        ("7days", (date(2026, 3, 25), TODAY)),
        ("30days", (date(2026, 3, 2), TODAY)),
        ("month", (date(2026, 3, 1), TODAY)),
        ("last-month", (date(2026, 2, 1), date(2026, 2, 28))),
        ("2026-01-05", (date(2026, 1, 5), date(2026, 1, 5))),
        ("2026-01-05..2026-01-09", (date(2026, 1, 5), date(2026, 1, 9))),
        ("2026-01-09..2026-01-05", None),
        ("9999-12-31", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_spans_of_days(name: str, span: tuple[date, date] | None) -> None:
    assert named_days(name, TODAY) == span


def test_a_span_follows_the_clocks_change() -> None:
    spring = days(date(2026, 3, 29), date(2026, 3, 29), PRAGUE)

    assert spring.since == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert spring.until - spring.since == timedelta(hours=23)


def test_calls_are_filtered_from_day_to_day_in_the_viewers_zone(
    seeded: Seeded, browser: Client
) -> None:
    call = ModelCall.objects.earliest("admitted_at")
    ModelCall.objects.filter(pk=call.pk).update(admitted_at="2026-01-05T23:30Z")
    browser.cookies["palyra_zone"] = "Europe/Prague"

    def found(**dates: str) -> set[object]:
        response = browser.get(reverse(LIST), dates)
        return {row.pk for row in response.context["cl"].result_list}

    assert found(period_from="2026-01-06", period_to="2026-01-06") == {call.pk}
    assert found(period="2026-01-06") == {call.pk}
    assert found(period_from="2026-01-05", period_to="2026-01-05") == set()
    assert found(period_to="2026-01-06") == {call.pk}


@pytest.mark.parametrize(
    "query",
    [
        {"period": "no-such-span"},
        {"period_from": "yesterday"},
        {"period_from": "2026-13-45", "period_to": "x"},
        {"model_used": "nothing"},
        {"q": "0" * 32},
        {"q": "%' OR 1=1"},
        {"q": "x" * 60_000},
        {"window": "9" * 5000},
        {"window": "9" * 19},
        {"window": "\N{SUPERSCRIPT TWO}"},
        {"window": "\N{ARABIC-INDIC DIGIT TWO}"},
        {"key": "x" * 60_000},
        {"person": "x" * 60_000},
        *({name: "?/b"} for name in ("key", "person", "in_session", "provider", "model_used")),
        {"status__in": "failed,unconfirmed", "period": "24h"},
    ],
)
def test_odd_filters_break_nothing(seeded: Seeded, browser: Client, query: dict[str, str]) -> None:
    assert browser.get(reverse(LIST), query).status_code == 200


def test_the_dates_form_keeps_other_filters(seeded: Seeded, browser: Client) -> None:
    html = browser.get(
        reverse(LIST), {"status__exact": "succeeded", "period": "month"}
    ).content.decode()

    assert '<input type="hidden" name="status__exact" value="succeeded">' in html
