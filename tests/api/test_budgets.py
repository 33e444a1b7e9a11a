"""Budget policies, standings and requests for more, through the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from governance import approvals
from governance.models import Approval, BudgetPolicy, BudgetWindow, Team
from governance.windows import period
from tests.api.callers import Caller, body_of, items_of, member_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


POLICY = {
    "name": "Monthly",
    "team": "demo",
    "metric": "cost",
    "soft_limit": "0.8",
    "hard_limit": "1.000000001",
}


def test_a_policy_is_added(organisation: Caller, team: Team) -> None:
    response = organisation.post("/policies", POLICY)
    assert response.status_code == 201
    policy = BudgetPolicy.objects.get()
    assert body_of(response) == {
        "id": str(policy.pk),
        "name": "Monthly",
        "summary": f"{team}: at most $1.00 a month, blocks; warns from $0.80; "
        "alerts at 50, 75, 90 and 100 %",
        "scope": "team",
        "team": "demo",
        "value": "",
        "metric": "cost",
        "interval": "month",
        "rolling": False,
        "zone": "UTC",
        "soft_limit": "0.800000000",
        "hard_limit": "1.000000001",
        "action": "block",
        "thresholds": [50, 75, 90, 100],
        "routing_mode": "",
        "enabled": True,
    }
    assert body_of(organisation.get(f"/policies/{policy.pk}")) == body_of(response)
    assert (policy.team, policy.soft_limit, policy.hard_limit) == (team, 800_000_000, 1_000_000_001)
    assert items_of(organisation.get("/policies")) == [body_of(response)]


@pytest.mark.parametrize("limit", ["1000", 1000])
def test_a_limit_of_tokens_is_a_whole_number(
    organisation: Caller, team: Team, limit: str | int
) -> None:
    body = {"name": "Tokens", "metric": "tokens", "hard_limit": limit}
    assert body_of(organisation.post("/policies", body))["hard_limit"] == "1000"
    assert BudgetPolicy.objects.get().hard_limit == 1000


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"hard_limit": "-1", "soft_limit": None}, {"hard_limit"}),
        ({"hard_limit": -1, "soft_limit": None, "metric": "requests"}, {"hard_limit"}),
        ({"soft_limit": "2"}, {"soft_limit"}),
        ({"soft_limit": None, "hard_limit": None}, {"hard_limit"}),
        ({"soft_limit": "much", "hard_limit": "more"}, {"soft_limit", "hard_limit"}),
        ({"hard_limit": 1.5}, {"hard_limit"}),
        ({"hard_limit": True}, {"hard_limit"}),
        ({"hard_limit": "1e99", "soft_limit": None}, {"hard_limit"}),
        ({"metric": "tokens"}, {"soft_limit", "hard_limit"}),
        ({"metric": "tokens", "hard_limit": "9" * 25, "soft_limit": "1"}, {"hard_limit"}),
        ({"metric": "joy", "interval": "eon", "hard_limit": "1", "soft_limit": None},
         {"metric", "interval"}),
        ({"scope": "global"}, {"team"}),
        ({"team": "nowhere", "zone": "Mars/Base", "name": ""}, {"team", "zone", "name"}),
        ({"interval": "total", "rolling": True, "thresholds": [0, 5], "action": "cry",
          "routing_mode": "loud", "scope": "user", "value": "nobody"},
         {"rolling", "thresholds", "action", "routing_mode", "value"}),
        ({"interval": "run", "rolling": True, "thresholds": [75, 75]}, {"rolling", "thresholds"}),
        ({"thresholds": [1001], "value": "someone"}, {"thresholds", "value"}),
        ({"scope": "session", "team": None, "value": "chat"}, {"team"}),
        ({"scope": "session", "team": "nowhere", "value": "chat"}, {"team"}),
        ({"scope": "model", "value": "gpt", "soft_limit": "2"}, {"value", "soft_limit"}),
        ({"thresholds": ["ninety"]}, {"thresholds.0"}),
    ],
)  # fmt: skip
def test_a_bad_policy_stores_nothing(
    organisation: Caller,
    team: Team,
    nothing_stored: NothingStored,
    changes: dict[str, Any],
    fields: set[str],
) -> None:
    with nothing_stored():
        assert faults(organisation.post("/policies", {**POLICY, **changes})).keys() == fields


def test_a_policy_has_a_scope_an_interval_and_an_action(organisation: Caller, team: Team) -> None:
    member = member_of(team)
    body = {
        "name": "Each hour",
        "scope": "user",
        "team": "demo",
        "value": member.username,
        "metric": "output_tokens",
        "interval": "hour",
        "rolling": True,
        "hard_limit": "2000",
        "action": "degrade",
        "thresholds": [120, 75],
        "routing_mode": "enforced",
    }
    response = organisation.post("/policies", body)
    assert response.status_code == 201, response.content
    added = body_of(response)
    assert (added["value"], added["thresholds"]) == (str(member.pk), [75, 120])
    assert added["summary"] == (
        f"{member.username} of {team}: at most 2,000 output tokens in any 60 minutes, then uses a "
        "cheaper model that fits, else blocks; alerts at 75 and 120 %; routing is enforced"
    )
    # What was given is taken back as it is.
    path = f"/policies/{added['id']}"
    same = {name: added[name] for name in body if name != "metric"}
    assert body_of(organisation.patch(path, same)) == added


def test_what_a_policy_counts_changes_until_it_has_counted(
    organisation: Caller, team: Team
) -> None:
    other = make_team(slug="other")
    policy = make_policy(scope="session", team=team, value=f"{team.pk}:chat")
    path = f"/policies/{policy.pk}"
    changed = body_of(organisation.patch(path, {"team": "other", "interval": "day"}))
    assert (changed["value"], changed["interval"]) == (f"{other.pk}:chat", "day")
    changed = body_of(organisation.patch(path, {"value": "mail", "thresholds": [90, 75]}))
    assert (changed["value"], changed["thresholds"]) == (f"{other.pk}:mail", [75, 90])

    BudgetWindow.objects.create(policy=policy, starts_at=timezone.now())
    wanted = {"team": "demo", "value": "chat", "interval": "week", "zone": "Europe/Prague"}
    found = faults(organisation.patch(path, {**wanted, "rolling": True, "action": "alert"}))
    assert found.keys() == {"team", "value", "interval", "zone", "rolling"}
    assert body_of(organisation.patch(path, {"action": "alert"}))["action"] == "alert"


def test_a_named_person_who_is_gone_hinders_no_change(organisation: Caller) -> None:
    policy = make_policy(scope="user", value="404")
    changed = body_of(organisation.patch(f"/policies/{policy.pk}", {"value": "404", "name": "New"}))
    assert (changed["name"], changed["value"]) == ("New", "404")


def test_a_list_of_policies_takes_few_queries(
    organisation: Caller, team: Team, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        make_policy(scope="user", team=team, value=str(member_of(team).pk))
        make_policy(scope="session", team=team, value=f"{team.pk}:{number}")
    with django_assert_max_num_queries(5):
        assert len(items_of(organisation.get("/policies"))) == 10


def test_a_policy_is_changed(organisation: Caller) -> None:
    policy = make_policy(metric="requests", hard_limit=37)
    response = organisation.patch(
        f"/policies/{policy.pk}", {"hard_limit": "40", "soft_limit": "30"}
    )
    assert (body_of(response)["soft_limit"], body_of(response)["hard_limit"]) == ("30", "40")
    response = organisation.patch(f"/policies/{policy.pk}", {"soft_limit": None, "enabled": False})
    assert (body_of(response)["soft_limit"], body_of(response)["enabled"]) == (None, False)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"soft_limit": "38"}, {"soft_limit"}),
        ({"hard_limit": None}, {"hard_limit"}),
        ({"hard_limit": "-1", "name": ""}, {"hard_limit", "name"}),
        ({"metric": "cost"}, {"metric"}),
        ({"enabled": None}, {"enabled"}),
    ],
)
def test_a_bad_change_changes_nothing(
    organisation: Caller, changes: dict[str, Any], fields: set[str]
) -> None:
    policy = make_policy(metric="requests", hard_limit=37)
    assert faults(organisation.patch(f"/policies/{policy.pk}", changes)).keys() == fields
    policy.refresh_from_db()
    assert (policy.hard_limit, policy.soft_limit, policy.enabled) == (37, None, True)


def use(policy: BudgetPolicy, team: Team | None, **counts: int) -> BudgetWindow:
    """The policy's present window, with these counts."""
    span = period(policy.interval, policy.zone, timezone.now())
    return BudgetWindow.objects.create(
        policy=policy,
        scope_value=str(team.pk) if team else "",
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        **counts,
    )


def test_a_team_sees_where_its_budgets_stand(integration: Caller, team: Team) -> None:
    own = make_policy(name="Own", team=team, hard_limit=10**9)
    each = make_policy(name="Each", metric="requests", hard_limit=100, soft_limit=20)
    everyone = make_policy(name="Everyone", scope="global", hard_limit=10**12, interval="total")
    use(own, team, consumed=300_000_000, held=200_000_000, raised_by=10**9)
    use(each, team, consumed=30)
    use(each, make_team(), consumed=99)
    use(everyone, None, consumed=5 * 10**9)

    found = {item["policy"]["name"]: item for item in items_of(integration.get("/budgets"))}
    assert list(found) == ["Each", "Own", "Everyone"]
    resets_at = found["Own"].pop("resets_at")
    starts_at = found["Own"].pop("starts_at")
    assert starts_at <= timezone.now().isoformat() < resets_at
    assert resets_at.endswith("T00:00:00.000000Z")
    assert found["Own"].pop("policy")["id"] == str(own.pk)
    assert found["Own"] == {
        "team": "demo",
        "scope_value": str(team.pk),
        "whose": team.name,
        "limit": "2.000000000",
        "consumed": "0.300000000",
        "held": "0.200000000",
        "remaining": "1.500000000",
        "raised_by": "1.000000000",
        "percent": 25,
        "state": "ok",
    }
    assert (found["Each"]["consumed"], found["Each"]["state"]) == ("30", "soft_limit")
    assert (found["Everyone"]["team"], found["Everyone"]["resets_at"]) == (None, None)


def test_a_policy_for_everyone_is_shown_once_to_a_person_of_two_teams(team: Team) -> None:
    make_policy(name="Everyone", scope="global")
    make_policy(name="Each")
    member = member_of(team)
    member.memberships.create(team=make_team(slug="second"))
    items = items_of(signed_in(member).get("/budgets"))
    assert sorted((item["policy"]["name"], item["team"]) for item in items if item["team"]) == [
        ("Each", "demo"),
        ("Each", "second"),
    ]
    assert [item["team"] for item in items if item["policy"]["name"] == "Everyone"] == [None]


def test_budgets_take_few_queries(
    integration: Caller, team: Team, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        use(make_policy(), team)
    with django_assert_max_num_queries(6):
        assert len(items_of(integration.get("/budgets"))) == 5


@pytest.fixture
def member(team: Team) -> User:
    return member_of(team)


def ask(member: User, policy: BudgetPolicy, changes: dict[str, Any] | None = None) -> Any:
    body = {"policy": str(policy.pk), "amount": "2.50", "reason": "A launch.", **(changes or {})}
    return signed_in(member).post("/approvals", body)


def test_a_member_asks_and_an_administrator_approves(
    organisation: Caller, administrator: User, member: User, team: Team
) -> None:
    policy = make_policy(team=team, hard_limit=10**9)
    response = ask(member, policy)
    assert response.status_code == 201
    asked = body_of(response)
    assert (asked["amount"], asked["status"], asked["team"]) == ("2.500000000", "pending", "demo")
    assert asked["requested_by"] == member.get_username()

    path = f"/approvals/{asked['id']}/decide"
    decided = body_of(organisation.post(path, {"approve": True, "comment": "Good luck."}))
    assert (decided["status"], decided["comment"]) == ("approved", "Good luck.")
    assert decided["decided_by"] == administrator.get_username()
    assert BudgetWindow.objects.get(policy=policy).raised_by == 2_500_000_000

    assert_problem(organisation.post(path, {"approve": False}), 409, "already_decided")
    assert BudgetWindow.objects.get(policy=policy).raised_by == 2_500_000_000
    assert items_of(organisation.get("/approvals", status="pending")) == []
    assert items_of(signed_in(member).get("/approvals")) == [decided]


def test_nobody_decides_without_the_permission_or_for_themselves(
    organisation: Caller, administrator: User, member: User, integration: Caller, team: Team
) -> None:
    policy = make_policy(team=team)
    path = f"/approvals/{body_of(ask(member, policy))['id']}/decide"
    assert_problem(signed_in(member).post(path, {"approve": True}), 403)
    assert_problem(integration.post(path, {"approve": True}), 403)

    own = approvals.request_more(
        team=team,
        policy=make_policy(team=team),
        requested_by=administrator,
        amount=1,
        reason="Mine.",
        now=datetime(2026, 3, 1, tzinfo=UTC),
    )
    problem = assert_problem(
        organisation.post(f"/approvals/{own.pk}/decide", {"approve": True}), 403
    )
    assert "your own request" in problem["detail"]
    assert not BudgetWindow.objects.exists()


def test_whoever_may_decide_sees_what_there_is_to_decide(member: User, team: Team) -> None:
    ask(member, make_policy(team=team))
    decider = signed_in(person("decider", "governance.decide_approval"))
    (asked,) = items_of(decider.get("/approvals"))
    response = decider.post(f"/approvals/{asked['id']}/decide", {"approve": False})
    assert body_of(response)["status"] == "denied"


def test_a_key_does_not_ask(integration: Caller, team: Team, nothing_stored: NothingStored) -> None:
    body = {"policy": str(make_policy(team=team).pk), "amount": "1", "reason": "More."}
    with nothing_stored():
        assert_problem(integration.post("/approvals", body), 403)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"amount": "0"}, {"amount"}),
        ({"amount": "-1", "reason": ""}, {"amount", "reason"}),
        ({"amount": "much"}, {"amount"}),
        ({"amount": 2.5}, {"amount"}),
        ({"policy": 1}, {"policy"}),
        ({"reason": "x" * 501}, {"reason"}),
    ],
)
def test_a_bad_request_for_more_stores_nothing(
    member: User,
    team: Team,
    nothing_stored: NothingStored,
    changes: dict[str, Any],
    fields: set[str],
) -> None:
    policy = make_policy(team=team)
    with nothing_stored():
        assert faults(ask(member, policy, changes)).keys() == fields


def test_a_second_request_while_one_waits_is_refused(
    member: User, team: Team, nothing_stored: NothingStored
) -> None:
    policy = make_policy(team=team)
    ask(member, policy)
    with nothing_stored():
        assert faults(ask(member, policy)).keys() == {"policy"}


def test_a_comment_that_is_too_long_decides_nothing(
    organisation: Caller, member: User, team: Team
) -> None:
    path = f"/approvals/{body_of(ask(member, make_policy(team=team)))['id']}/decide"
    found = faults(organisation.post(path, {"approve": True, "comment": "x" * 501}))
    assert found.keys() == {"comment"}
    assert Approval.objects.get().status == "pending"
