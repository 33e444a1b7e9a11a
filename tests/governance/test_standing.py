"""Where budgets stand: the figures of the rows, for those whom they concern."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from governance import keys, window_figures
from governance.models import ApiKey, Approval, BudgetPolicy, BudgetWindow, Team
from governance.scope_names import names
from governance.standing import Standing, standings
from governance.windows import BEGINNING
from tests.api.sides import make_job
from tests.support.factories import make_policy, make_team

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
DOLLAR = 10**9

pytestmark = pytest.mark.django_db


@pytest.fixture
def blue() -> Team:
    return make_team(slug="blue", name="Blue")


@pytest.fixture
def red() -> Team:
    return make_team(slug="red", name="Red")


def open_window(policy: BudgetPolicy, team: Team | None = None, **fields: Any) -> BudgetWindow:
    defaults = {"starts_at": MARCH, "ends_at": APRIL, "scope_value": str(team.pk) if team else ""}
    return BudgetWindow.objects.create(policy=policy, **{**defaults, **fields})


def make_key(team: Team) -> ApiKey:
    return keys.create(team=team, name="key").record


def figures(found: list[Standing]) -> list[tuple[str, str | None, int, int]]:
    return [
        (one.policy.name, one.team.slug if one.team else None, one.consumed, one.held)
        for one in found
    ]


def test_a_window_not_yet_opened_has_used_nothing(blue: Team) -> None:
    make_policy(name="Own", team=blue, hard_limit=10 * DOLLAR, soft_limit=8 * DOLLAR)
    (one,) = standings(now=NOW, team=blue)
    assert one.whose == "Blue"
    assert (one.consumed, one.held, one.raised_by, one.percent) == (0, 0, 0, 0)
    assert (one.soft_limit, one.hard_limit) == (8 * DOLLAR, 10 * DOLLAR)
    assert (one.limit, one.remaining, one.state) == (10 * DOLLAR, 10 * DOLLAR, "ok")
    assert (one.starts_at, one.resets_at, one.team) == (MARCH, APRIL, blue)


def test_the_figures_are_those_of_the_row(blue: Team) -> None:
    policy = make_policy(team=blue, hard_limit=10 * DOLLAR)
    open_window(policy, blue, consumed=3 * DOLLAR, held=DOLLAR, raised_by=2 * DOLLAR)
    (one,) = standings(now=NOW, team=blue)
    assert (one.consumed, one.held, one.raised_by) == (3 * DOLLAR, DOLLAR, 2 * DOLLAR)
    assert (one.hard_limit, one.remaining, one.percent) == (12 * DOLLAR, 8 * DOLLAR, 33)
    assert one.text(one.remaining) == "$8.00"


@pytest.mark.parametrize(
    ("limits", "used", "state", "percent"),
    [
        pytest.param({"hard_limit": 100}, (99, 0), "ok", 99, id="almost"),
        pytest.param({"hard_limit": 100}, (60, 40), "hard_limit", 100, id="reached with holds"),
        pytest.param({"hard_limit": 100}, (130, 0), "hard_limit", 130, id="passed"),
        pytest.param({"hard_limit": 100, "soft_limit": 50}, (49, 0), "ok", 49, id="below both"),
        pytest.param(
            {"hard_limit": 100, "soft_limit": 50}, (50, 0), "soft_limit", 50, id="the soft one"
        ),
        pytest.param({"hard_limit": 100, "soft_limit": 50}, (100, 0), "hard_limit", 100, id="both"),
        pytest.param({"soft_limit": 50}, (40, 0), "ok", 80, id="only a soft one"),
        pytest.param({"soft_limit": 50}, (60, 0), "soft_limit", 120, id="past the only soft one"),
        pytest.param({"hard_limit": 0}, (0, 0), "hard_limit", 0, id="a limit of nothing"),
        pytest.param({"hard_limit": 0}, (1, 0), "hard_limit", 100, id="past a limit of nothing"),
    ],
)
def test_the_state_says_which_limit_is_reached(
    blue: Team, limits: dict[str, int], used: tuple[int, int], state: str, percent: int
) -> None:
    policy = make_policy(team=blue, metric="requests", **limits)
    open_window(policy, blue, consumed=used[0], held=used[1])
    (one,) = standings(now=NOW, team=blue)
    assert (one.state, one.percent) == (state, percent)
    assert one.remaining == max(0, one.limit - sum(used))


def test_a_team_sees_its_own_windows_and_everyones(blue: Team, red: Team) -> None:
    own = make_policy(name="Own", team=blue)
    each = make_policy(name="Each")
    everyone = make_policy(name="Everyone", scope="global")
    others = make_policy(name="Others", team=red)
    make_policy(name="Disabled", enabled=False)
    open_window(own, blue, consumed=1)
    open_window(each, blue, consumed=2)
    open_window(each, red, consumed=3 * DOLLAR)
    open_window(everyone, consumed=4)
    open_window(others, red, consumed=5)

    assert sorted(figures(standings(now=NOW, team=blue))) == [
        ("Each", "blue", 2, 0),
        ("Everyone", None, 4, 0),
        ("Own", "blue", 1, 0),
    ]
    assert sorted(figures(standings(now=NOW, team=red))) == [
        ("Each", "red", 3 * DOLLAR, 0),
        ("Everyone", None, 4, 0),
        ("Others", "red", 5, 0),
    ]


def test_an_administrator_sees_every_window_that_was_begun(blue: Team, red: Team) -> None:
    each, own = make_policy(name="Each"), make_policy(name="Own", team=red)
    everyone = make_policy(name="Everyone", scope="global")
    open_window(each, blue, consumed=2)
    open_window(each, red, consumed=3)
    make_team(name="Without a call")
    assert sorted(figures(standings(now=NOW))) == [
        ("Each", "blue", 2, 0),
        ("Each", "red", 3, 0),
        ("Everyone", None, 0, 0),
        ("Own", "red", 0, 0),
    ]
    assert {one.policy for one in standings(now=NOW)} == {each, own, everyone}


def test_only_the_window_of_now_counts(blue: Team) -> None:
    policy = make_policy(team=blue, zone="Europe/Prague", interval="day")
    starts_at = datetime(2026, 3, 14, 23, tzinfo=UTC)
    yesterday = starts_at - timedelta(days=1)
    open_window(policy, blue, starts_at=yesterday, ends_at=starts_at, consumed=5)
    open_window(
        policy, blue, starts_at=starts_at, ends_at=starts_at + timedelta(days=1), consumed=7
    )
    (one,) = standings(now=NOW, team=blue)
    assert (one.consumed, one.starts_at) == (7, starts_at)
    (next_month,) = standings(now=NOW + timedelta(days=30), team=blue)
    assert next_month.consumed == 0


def test_a_total_never_resets(blue: Team) -> None:
    policy = make_policy(team=blue, interval="total")
    open_window(policy, blue, starts_at=BEGINNING, ends_at=None, consumed=7)
    (one,) = standings(now=NOW, team=blue)
    assert (one.consumed, one.resets_at) == (7, None)


def test_the_tightest_comes_first(blue: Team) -> None:
    for name, consumed in (("b", 50), ("a", 50), ("c", 90), ("d", 0)):
        open_window(
            make_policy(name=name, team=blue, metric="tokens", hard_limit=100),
            blue,
            consumed=consumed,
        )
    assert [one.policy.name for one in standings(now=NOW, team=blue)] == ["c", "a", "b", "d"]


def test_without_policies_there_is_nothing_to_say(blue: Team) -> None:
    assert standings(now=NOW) == []
    assert standings(now=NOW, team=blue) == []


def people_of(policy: BudgetPolicy, found: list[Standing]) -> list[str]:
    return [one.whose for one in found if one.policy == policy]


def test_every_scope_is_called_by_its_name(blue: Team) -> None:
    person = User.objects.create_user("ada", first_name="Ada", last_name="Lovelace")
    key = keys.create(team=blue, name="search").record
    job = make_job(blue, name="Morning digest")
    values = {
        "user": (str(person.pk), "Ada Lovelace"),
        "session": (f"{blue.pk}:lunch:1", "session lunch:1"),
        "api_key": (str(key.pk), "key search"),
        "job": (str(job.pk), "job Morning digest"),
        "provider": ("openai", "openai"),
        "model": ("openai/gpt", "openai/gpt"),
        "team": (str(blue.pk), "Blue"),
        "global": ("", "everyone together"),
    }
    for scope, (value, _) in values.items():
        open_window(make_policy(name=scope, scope=scope), scope_value=value, consumed=1)
    found = {one.policy.scope: one for one in standings(now=NOW)}
    assert {scope: one.whose for scope, one in found.items()} == {
        scope: name for scope, (_, name) in values.items()
    }
    of_blue = {"team", "session", "api_key"}
    assert {scope for scope, one in found.items() if one.team == blue} == of_blue


@pytest.mark.parametrize(
    ("scope", "value", "whose"),
    [
        ("user", "ada@example.com", "ada@example.com"),
        ("user", "9" * 40, "9" * 40),
        ("job", "digest", "job digest"),
        ("api_key", "ply_x", "key ply_x"),
        ("session", "lunch", "session "),
        ("team", "blue", "team blue"),
    ],
)
def test_what_is_no_identifier_is_called_by_itself(scope: str, value: str, whose: str) -> None:
    assert names([(scope, value)]).whose(scope, value) == whose


def test_of_a_policy_for_each_a_team_sees_only_what_is_its_own(blue: Team, red: Team) -> None:
    ada, bob = User.objects.create_user("ada"), User.objects.create_user("bob")
    for scope, mine, others in (
        ("user", str(ada.pk), str(bob.pk)),
        ("session", f"{blue.pk}:x", f"{red.pk}:x"),
        ("api_key", str(make_key(blue).pk), str(make_key(red).pk)),
        ("job", str(make_job(blue).pk), str(make_job(red).pk)),
    ):
        policy = make_policy(name=scope, scope=scope)
        open_window(policy, scope_value=mine, consumed=1)
        open_window(policy, scope_value=others, consumed=2)
        (one,) = [
            one for one in standings(now=NOW, team=blue, person_id=ada.pk) if one.policy == policy
        ]
        assert (one.scope_value, one.consumed) == (mine, 1)
        assert len([one for one in standings(now=NOW) if one.policy == policy]) == 2


def test_a_team_is_told_of_what_may_stop_it_before_it_has_used_any(blue: Team) -> None:
    each = make_policy(scope="session")
    a_run = make_policy(scope="team", interval="run")
    own = make_policy(scope="user", team=blue)
    found = standings(now=NOW, team=blue)
    assert people_of(each, found) == ["each session"]
    assert people_of(a_run, found) == ["each team"]
    assert people_of(own, found) == ["each person"]


@pytest.mark.parametrize("interval", ["month", "run"])
def test_a_policy_that_names_one_of_others_is_not_shown(
    blue: Team, red: Team, interval: str
) -> None:
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    for scope, mine, others in (
        ("user", str(ada.pk), str(bob.pk)),
        ("api_key", str(make_key(blue).pk), str(make_key(red).pk)),
        ("job", str(make_job(blue).pk), str(make_job(red).pk)),
    ):
        for name, value in (("mine", mine), ("others", others)):
            make_policy(name=f"{name} {scope}", scope=scope, value=value, interval=interval)
    found = standings(now=NOW, team=blue, person_id=ada.pk)
    assert {one.policy.name for one in found} == {"mine user", "mine api_key", "mine job"}


def test_a_policy_that_names_one_shows_that_one_alone(blue: Team) -> None:
    policy = make_policy(scope="provider", value="openai", metric="tokens", hard_limit=10)
    open_window(policy, scope_value="openai", consumed=4)
    (one,) = standings(now=NOW)
    assert (one.whose, one.consumed, one.remaining) == ("openai", 4, 6)


def test_a_rolling_one_stands_by_all_its_buckets(blue: Team) -> None:
    policy = make_policy(team=blue, interval="hour", rolling=True, hard_limit=100, metric="tokens")
    five = timedelta(minutes=5)
    for minutes, used in ((-70, 1000), (-60, 3), (-20, 20), (0, 5)):
        starts_at = NOW + timedelta(minutes=minutes)
        open_window(policy, blue, starts_at=starts_at, ends_at=starts_at + five, consumed=used)
    (one,) = standings(now=NOW, team=blue)
    assert one.consumed == 28
    assert one.starts_at == NOW - timedelta(hours=1)
    # The bucket from an hour ago is the first to leave.
    assert one.resets_at == NOW + five


def test_what_is_approved_until_a_date_is_in_the_limit(blue: Team) -> None:
    policy = make_policy(team=blue, metric="tokens", hard_limit=100)
    for days, amount in ((-1, 1000), (1, 40)):
        Approval.objects.create(
            team=blue,
            policy=policy,
            scope_value=str(blue.pk),
            amount=amount,
            until="date",
            expires_at=timezone.now() + timedelta(days=days),
            status="approved",
        )
    (one,) = standings(now=timezone.now(), team=blue)
    assert (one.raised_by, one.hard_limit) == (40, 140)


def test_only_runs_under_way_are_shown(blue: Team) -> None:
    policy = make_policy(team=blue, interval="run", metric="tokens", hard_limit=100)
    for number, held in ((1, 0), (2, 7)):
        open_window(
            policy,
            scope_value=f"{blue.pk}|{UUID(int=number)}",
            starts_at=BEGINNING,
            ends_at=None,
            consumed=5,
            held=held,
        )
    (one,) = standings(now=NOW)
    assert (one.whose, one.held, one.team) == ("Blue", 7, blue)


def test_of_each_policy_the_fullest_are_shown(blue: Team) -> None:
    policy = make_policy(scope="session", metric="tokens", hard_limit=100)
    for number in range(9):
        open_window(policy, scope_value=f"{blue.pk}:{number}", consumed=number)
    found = standings(now=NOW, team=blue, most_of_each=3)
    assert [one.consumed for one in found] == [8, 7, 6]


@pytest.mark.parametrize("count", [1, 12])
def test_the_number_of_queries_does_not_grow(
    blue: Team, count: int, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for number in range(count):
        open_window(make_policy(), blue)
        open_window(make_policy(), make_team())
        each, person = make_policy(scope="session"), make_policy(scope="api_key", interval="run")
        open_window(each, scope_value=f"{blue.pk}:{number}")
        run = f"{make_key(blue).pk}|{UUID(int=number)}"
        open_window(person, scope_value=run, starts_at=BEGINNING, ends_at=None, held=1)
    # Policies, windows of the few and of the many, approvals, names of teams and of keys.
    with django_assert_max_num_queries(6):
        assert len(figures(standings(now=NOW))) == 4 * count
    # And which keys are the team's.
    with django_assert_max_num_queries(7):
        assert len(figures(standings(now=NOW, team=blue))) == 4 * count


def test_a_full_budget_is_not_hidden_by_another_with_many_windows(
    blue: Team, red: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_figures, "MOST", 5)
    ada = User.objects.create_user("ada")
    for metric in ("cost", "tokens"):
        each = make_policy(name=f"each {metric}", scope="session", metric=metric)
        runs = make_policy(name=f"runs {metric}", scope="user", metric=metric, interval="run")
        for number in range(9):
            open_window(each, scope_value=f"{red.pk}:{number}", consumed=DOLLAR + number)
            other = f"{ada.pk + 1}|{UUID(int=number)}"
            open_window(runs, scope_value=other, starts_at=BEGINNING, ends_at=None, held=DOLLAR)
        open_window(each, scope_value=f"{blue.pk}:mine", consumed=1)
        mine = f"{ada.pk}|{UUID(int=1)}"
        open_window(runs, scope_value=mine, starts_at=BEGINNING, ends_at=None, held=1)
    full = make_policy(name="full", team=blue, metric="requests", hard_limit=3)
    open_window(full, blue, consumed=3)

    found = standings(now=NOW, team=blue, person_id=ada.pk)
    assert {one.policy.name: (one.consumed, one.held) for one in found} == {
        "each cost": (1, 0),
        "each tokens": (1, 0),
        "runs cost": (0, 1),
        "runs tokens": (0, 1),
        "full": (3, 0),
    }
    of_all = [one for one in standings(now=NOW) if one.policy.name == "each cost"]
    assert {one.consumed - DOLLAR for one in of_all} == {4, 5, 6, 7, 8}


def test_any_number_of_policies_can_be_asked_about(blue: Team) -> None:
    BudgetPolicy.objects.bulk_create(
        BudgetPolicy(name=f"{number}", team=blue, scope=scope, hard_limit=1)
        for number, scope in enumerate(["team", "session"] * 1001)
    )
    assert len(standings(now=NOW, team=blue)) == 2002
    assert len(standings(now=NOW)) == 1001
