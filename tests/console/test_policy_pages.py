"""Beside a policy's form: the live preview, the past windows, what raises it, and its copies."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance import policy_copies
from governance.models import Approval, AuditEntry, BudgetPolicy, BudgetWindow, ModelCall, Team
from governance.windows import period
from tests.console.conftest import signed_in, staff
from tests.console.pages import links_of, text_of
from tests.support.factories import make_policy, make_team
from tests.support.ledger_rows import add_up

PREVIEW = "admin:governance_budgetpolicy_preview"
LIST = "admin:governance_budgetpolicy_changelist"
DOLLAR = 10**9


def spent(team: Team, cost: int, at: datetime | None = None, **fields: Any) -> ModelCall:
    """A call that was made and charged."""
    call = ModelCall.objects.create(
        team=team,
        admitted_at=at or timezone.now(),
        status="succeeded",
        cost=cost,
        surface="openai",
        task_class="primary_interactive",
        **{
            "uncached_input_tokens": 100,
            "output_tokens": 50,
            "provider": "openai",
            "model": "gpt",
            **fields,
        },
    )
    add_up([call])
    return call


def written(**fields: Any) -> dict[str, Any]:
    return {
        "scope": "team",
        "team": "",
        "value": "",
        "metric": "cost",
        "interval": "total",
        "zone": "UTC",
        "soft_limit": "",
        "hard_limit": "",
        "action": "block",
        "thresholds": "50, 75",
        **fields,
    }


def said(browser: Client, **fields: Any) -> str:
    response = browser.get(reverse(PREVIEW), written(**fields))
    assert response.status_code == 200
    return text_of(response.content.decode())


def test_the_preview_says_where_the_policy_would_stand(browser: Client) -> None:
    team = make_team(name="Blue")
    spent(team, 4 * DOLLAR)

    text = said(browser, team=str(team.pk), hard_limit="5")

    assert "Blue would now stand at 80 %." in text
    assert "$4.00 consumed of $5.00" in text
    assert "Calls are blocked at $5.00." in text
    assert "It never resets." in text
    assert "50 and 75 % of it are reached: an alert is raised for each." in text


def test_the_preview_says_what_is_exceeded_already(browser: Client) -> None:
    team = make_team(name="Blue")
    spent(team, 4 * DOLLAR)

    text = said(browser, team=str(team.pk), hard_limit="3", interval="month")

    assert "Already exceeded: $4.00 are spoken for." in text
    assert "At hard limit" in text


def test_the_preview_has_the_tightest_first_and_counts_the_rest(browser: Client) -> None:
    for number in range(7):
        spent(make_team(name=f"Team number {number}"), (number + 1) * DOLLAR)

    text = said(browser, hard_limit="4")

    assert "Team number 6 would now stand at 175 %." in text
    assert "and 2 more" in text
    assert "The tightest of 7; 4 at the limit." in text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"metric": "tokens", "hard_limit": "300"}, "150 tokens consumed of 300 tokens"),
        ({"metric": "input_tokens", "hard_limit": "300"}, "100 input tokens consumed"),
        ({"metric": "output_tokens", "hard_limit": "300"}, "50 output tokens consumed"),
        ({"metric": "requests", "hard_limit": "4"}, "1 request consumed of 4 requests"),
        ({"scope": "global", "hard_limit": "4"}, "Everyone together would now stand at 50 %."),
        ({"scope": "provider", "hard_limit": "4"}, "Openai would now stand at 50 %."),
        ({"scope": "model", "hard_limit": "4"}, "Openai/gpt would now stand at 50 %."),
        ({"scope": "session", "hard_limit": "4"}, "Session chat would now stand at 50 %."),
        ({"scope": "user", "hard_limit": "4"}, "Pat would now stand at 50 %."),
        ({"scope": "job", "hard_limit": "4"}, "No scheduled job has used anything"),
        ({"interval": "run", "hard_limit": "4"}, "Each run begins with nothing used of it."),
        ({"interval": "day", "rolling": "on", "hard_limit": "4"}, "It rolls"),
        ({"soft_limit": "1"}, "Already past the soft limit"),
        ({"soft_limit": "3"}, "It warns from $3.00. It never stops a call."),
        ({"action": "approval", "hard_limit": "4"}, "Past $4.00 calls need approval."),
        ({"action": "alert", "hard_limit": "4"}, "Past $4.00 calls still go through"),
        ({"hard_limit": "-1"}, "A limit cannot be negative."),
        ({"hard_limit": "ten"}, "Enter a number."),
        ({"hard_limit": "1", "zone": "Nowhere"}, "is not a time zone"),
        ({}, "shown here as the limits are written"),
    ],
)
def test_the_preview_of_every_kind_of_limit(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    person = User.objects.create_user("pat")
    spent(make_team(), 2 * DOLLAR, session="chat", user=person)

    assert says.lower() in said(browser, **fields).lower()


def test_the_preview_tells_when_a_budget_runs_out() -> None:
    from governance.policy_preview import sentences  # noqa: PLC0415
    from governance.standing import Standing  # noqa: PLC0415

    policy = BudgetPolicy(name="p", metric="cost", interval="month", hard_limit=10 * DOLLAR)
    now = datetime.fromisoformat("2026-03-11T00:00:00+00:00")
    window = period("month", "UTC", now)

    def standing(consumed: int) -> Standing:
        return Standing(
            policy=policy,
            team=None,
            scope_value="",
            whose="everyone together",
            starts_at=window.starts_at,
            resets_at=window.ends_at,
            consumed=consumed,
        )

    assert "At this pace it runs out 21 Mar 2026, 00:00 UTC." in sentences(
        standing(5 * DOLLAR), now
    )
    assert "At this pace it comes to $6.20 by then, 62 %." in sentences(standing(2 * DOLLAR), now)


def test_of_a_session_only_what_is_in_the_window_counts(browser: Client) -> None:
    team, now = make_team(), timezone.now()
    spent(team, 5 * DOLLAR, now - timedelta(days=400), session="old")
    spent(team, DOLLAR, now, session="old")
    spent(team, DOLLAR // 2, now, session="new")

    text = said(browser, scope="session", interval="day", rolling="on", hard_limit="4")
    assert "Session old would now stand at 25 %." in text
    assert "Session new: 12 %" in text
    in_total = said(browser, scope="session", hard_limit="4")
    assert "Session old would now stand at 150 %." in in_total


def test_what_calls_under_way_hold_counts(browser: Client) -> None:
    team = make_team(name="Blue")
    spent(team, DOLLAR)
    ModelCall.objects.create(
        team=team,
        surface="openai",
        task_class="primary_interactive",
        status="in_flight",
        owner=UUID(int=1),
        expires_at=timezone.now(),
        admitted_at=timezone.now(),
        estimate_upper=2 * DOLLAR,
        token_bound=70,
        output_bound=30,
    )

    assert "$1.00 consumed, $2.00 held of $4.00" in said(browser, hard_limit="4")
    assert "100 input tokens consumed, 40 input tokens held" in said(
        browser, metric="input_tokens", hard_limit="400"
    )
    assert "1 request consumed, 1 request held" in said(
        browser, metric="requests", scope="global", hard_limit="4"
    )
    other = make_team(name="Other")
    assert "Other would now stand at 0 %" in said(browser, team=str(other.pk), hard_limit="4")


def test_a_stored_policys_preview_has_what_was_approved(browser: Client) -> None:
    team = make_team(name="Blue")
    policy = make_policy(team=team, interval="total", hard_limit=5 * DOLLAR)
    spent(team, 4 * DOLLAR)
    BudgetWindow.objects.create(
        policy=policy,
        scope_value=str(team.pk),
        starts_at="1970-01-01T00:00Z",
        consumed=4 * DOLLAR,
        raised_by=3 * DOLLAR,
    )

    response = browser.get(
        reverse(PREVIEW), {"policy": str(policy.pk), "hard_limit": "5", "action": "block"}
    )

    assert "would now stand at 50 %" in text_of(response.content.decode())


def test_the_preview_is_for_those_who_may_write(seeded: Any) -> None:
    policy = make_policy()
    changer = signed_in(staff("changer", "governance.change_budgetpolicy"))

    assert changer.get(reverse(PREVIEW), written(hard_limit="1")).status_code == 403
    assert changer.get(reverse(PREVIEW), {"policy": policy.pk}).status_code == 200
    assert signed_in(seeded.viewer).get(reverse(PREVIEW)).status_code == 403


def test_the_preview_takes_no_more_queries_for_more_teams(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        spent(make_team(), DOLLAR)

    with django_assert_max_num_queries(14):
        said(browser, hard_limit="4", interval="month")


def test_past_windows_are_a_chart_and_a_table(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    team = make_team(name="Blue", zone="UTC")
    policy = make_policy(team=team, interval="month", hard_limit=10 * DOLLAR)
    now = period("month", "UTC", timezone.now())
    before = period("month", "UTC", now.starts_at - timedelta(days=1))
    for when, consumed in ((now, 5), (before, 8)):
        BudgetWindow.objects.create(
            policy=policy,
            scope_value=str(team.pk),
            starts_at=when.starts_at,
            ends_at=when.ends_at,
            consumed=consumed * DOLLAR,
            raised_by=DOLLAR if when == before else 0,
        )
    long_ago = period("month", "UTC", before.starts_at - timedelta(days=1))
    spent(team, 7 * DOLLAR, long_ago.starts_at + timedelta(days=3))

    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])
    with django_assert_max_num_queries(34):
        html = browser.get(page).content.decode()

    text = text_of(html)
    assert "$5.00 – $10.00 50 %" in text
    assert "$8.00 – $11.00 72 %" in text
    # The policy was not there yet.
    assert "$7.00 – $10.00 70 %" in text
    assert "what it would have counted" in text
    assert 'class="chart"' in html


def _approved(policy: BudgetPolicy, team: Team, **fields: Any) -> Approval:
    values: dict[str, Any] = {
        "team": team,
        "policy": policy,
        "scope_value": str(team.pk),
        "amount": 2 * DOLLAR,
        "until": "date",
        "expires_at": timezone.now() + timedelta(days=1),
        "status": "approved",
    }
    return Approval.objects.create(**{**values, **fields})


def test_what_raises_a_limit_is_shown_and_ended(browser: Client) -> None:
    team = make_team(name="Blue")
    policy = make_policy(team=team, interval="total", hard_limit=10 * DOLLAR)
    window = BudgetWindow.objects.create(
        policy=policy, scope_value=str(team.pk), starts_at="1970-01-01T00:00Z", raised_by=7
    )
    for_a_date = _approved(policy, team)
    until_reset = _approved(policy, team, until="reset", expires_at=None, window=window, amount=7)
    over = _approved(policy, team, expires_at=timezone.now() - timedelta(days=1))
    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])

    html = browser.get(page).content.decode()
    for approval, is_shown in ((for_a_date, True), (until_reset, True), (over, False)):
        do = reverse("admin:governance_approval_do", args=[approval.pk, "end"])
        assert (do in html) is is_shown
        browser.post(do)

    for_a_date.refresh_from_db()
    until_reset.refresh_from_db()
    over.refresh_from_db()
    window.refresh_from_db()
    assert for_a_date.ended_at is not None
    assert for_a_date.expires_at == for_a_date.ended_at
    assert until_reset.ended_by is not None
    assert over.ended_at is None
    assert window.raised_by == 0
    assert "Raised on request" not in browser.get(page).content.decode()
    assert AuditEntry.objects.filter(object_id=str(for_a_date.pk), action="changed").exists()


@pytest.mark.parametrize(
    ("permission", "sees"), [("view_budgetpolicy", False), ("view_approval", True)]
)
def test_what_raises_a_limit_is_for_those_who_may_see_requests(
    db: None, permission: str, sees: bool
) -> None:
    team = make_team()
    policy = make_policy(team=team)
    asked_by = User.objects.create_user("mira")
    _approved(policy, team, requested_by=asked_by)
    looker = staff("looker", "governance.view_budgetpolicy", f"governance.{permission}")

    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])
    html = signed_in(looker).get(page).content.decode()

    assert ("Raised on request" in html, "mira" in html) == (sees, sees)


def test_an_ended_raise_is_ended_once(browser: Client) -> None:
    team = make_team()
    policy = make_policy(team=team, interval="total")
    window = BudgetWindow.objects.create(
        policy=policy, scope_value=str(team.pk), starts_at="1970-01-01T00:00Z", raised_by=20
    )
    approval = _approved(policy, team, until="reset", expires_at=None, window=window, amount=7)
    do = reverse("admin:governance_approval_do", args=[approval.pk, "end"])

    browser.post(do)
    answer = browser.post(do, follow=True)

    window.refresh_from_db()
    assert window.raised_by == 13
    assert "no longer applies" in text_of(answer.content.decode())


def _duplicate(policy: BudgetPolicy) -> str:
    return reverse("admin:governance_budgetpolicy_duplicate", args=[policy.pk])


def test_a_policy_is_duplicated_to_teams(browser: Client) -> None:
    blue, red, green = (make_team(name=name) for name in ("Blue", "Red", "Green"))
    policy = make_policy(
        name="Blue, a month", team=blue, hard_limit=5 * DOLLAR, action="approval", thresholds=[80]
    )
    spent(red, 4 * DOLLAR)

    page = text_of(browser.get(_duplicate(policy)).content.decode())
    assert "2 of 2 have no such policy yet" in page
    assert "$4.00 consumed of $5.00" in page
    answer = browser.post(_duplicate(policy), {"teams": [red.pk, green.pk]}, follow=True)

    assert "2 teams have a policy like “Blue, a month” now" in text_of(answer.content.decode())
    copies = BudgetPolicy.objects.exclude(pk=policy.pk).order_by("name")
    assert [one.name for one in copies] == ["Green, a month", "Red, a month"]
    assert {(one.hard_limit, one.action, tuple(one.thresholds)) for one in copies} == {
        (5 * DOLLAR, "approval", (80,))
    }


def test_a_policys_page_leads_to_its_duplicating_unless_it_is_everyones(browser: Client) -> None:
    policy, everyones = make_policy(team=make_team()), make_policy(scope="global")
    pages = [
        browser.get(reverse("admin:governance_budgetpolicy_change", args=[one.pk]))
        for one in (policy, everyones)
    ]

    links = [links_of(page.content.decode()) for page in pages]

    assert links == [[("Duplicate to teams", _duplicate(policy))], []]


def test_duplicating_is_all_or_nothing_and_says_every_fault(browser: Client) -> None:
    blue, red, green, white = (make_team(name=name) for name in ("Blue", "Red", "Green", "White"))
    policy = make_policy(name="Blue, a month", team=blue)
    make_policy(name="Another", team=red)
    make_policy(name="Green, a month", team=green, interval="day")

    answer = browser.post(_duplicate(policy), {"teams": [red.pk, green.pk, white.pk]})

    text = text_of(answer.content.decode())
    assert "Red: it has such a policy already, “Another”." in text
    assert "Green: Budget policy with this Name already exists." in text
    assert BudgetPolicy.objects.count() == 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scope": "global"}, "It counts everyone together"),
        ({}, "It counts every team's calls already."),
        ({"scope": "api_key", "value": "1"}, "one team's alone"),
    ],
)
def test_what_cannot_be_duplicated_says_why(
    browser: Client, fields: dict[str, str], says: str
) -> None:
    team = make_team() if fields.get("value") else None
    policy = make_policy(team=team, **fields)
    other = make_team()

    assert says in text_of(browser.get(_duplicate(policy)).content.decode())
    browser.post(_duplicate(policy), {"teams": [other.pk]})
    assert BudgetPolicy.objects.count() == 1


@pytest.mark.parametrize("sent", [[], ["x"], ["999999"], ["-1"]])
def test_a_team_that_is_none_makes_no_copy(browser: Client, sent: list[str]) -> None:
    policy = make_policy(team=make_team())

    assert browser.post(_duplicate(policy), {"teams": sent}).status_code == 200
    assert BudgetPolicy.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_not_give_a_team_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    blue, red = make_team(name="Blue"), make_team(name="Red")
    policy = make_policy(name="Blue, a month", team=blue)
    gate = Barrier(2)
    said: list[str] = []

    def meet(copies: Any) -> list[str]:
        # Both have looked and neither has stored: nobody comes here while another copies.
        with suppress(BrokenBarrierError):
            gate.wait(timeout=0.5)
        return []

    def give() -> None:
        try:
            policy_copies.copy_to(policy, [red])
            said.append("Given.")
        except Exception as error:
            said.append("; ".join(getattr(error, "messages", [repr(error)])))
        finally:
            connections.close_all()

    monkeypatch.setattr(policy_copies, "_twice", meet)
    both = [Thread(target=give) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert sorted(said) == ["Given.", "Red: it has such a policy already, “Red, a month”."]
    assert BudgetPolicy.objects.filter(team=red).count() == 1


def test_a_session_is_each_teams_own(browser: Client) -> None:
    blue, red = make_team(), make_team()
    policy = make_policy(team=blue, scope="session", value=f"{blue.pk}:chat")

    browser.post(_duplicate(policy), {"teams": [red.pk]})

    assert BudgetPolicy.objects.get(team=red).value == f"{red.pk}:chat"


def test_policies_are_switched_in_bulk_with_their_count(browser: Client) -> None:
    on, off = make_policy(), make_policy(enabled=False)
    chosen = {"_selected_action": [on.pk, off.pk]}

    answer = browser.post(reverse(LIST), {"action": "disable_selected", **chosen}, follow=True)
    assert "1 policy is disabled now; 1 was already." in text_of(answer.content.decode())
    assert not BudgetPolicy.objects.filter(enabled=True).exists()

    answer = browser.post(reverse(LIST), {"action": "enable_selected", **chosen}, follow=True)
    assert "2 policies are enabled now." in text_of(answer.content.decode())
    assert BudgetPolicy.objects.filter(enabled=True).count() == 2


def test_odd_names_of_whose_windows_to_show_break_nothing(browser: Client) -> None:
    policy = make_policy()
    page = reverse("admin:governance_budgetpolicy_change", args=[policy.pk])

    for whose in ("9" * 400, "nobody/at/all"):
        assert browser.get(page, {"whose": whose}).status_code == 200


def test_odd_kinds_of_events_filter_nothing(browser: Client) -> None:
    deliveries = reverse("admin:governance_delivery_changelist")

    assert browser.get(deliveries, {"event": "run."}).status_code == 200
    assert browser.get(deliveries, {"event": "a" * 400}).status_code in {200, 302}
