"""The ledger's store: holds, settlements and opening balances, on the real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from governance.ledger import (
    Unmade,
    never_sent,
)
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetPolicy,
    BudgetWindow,
    CallStatus,
    ModelCall,
)
from providers.usage import Usage
from tests.governance.small_calls import admission, admitted, settlement, window_of
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db


def test_an_admission_holds_on_every_window_and_a_settlement_replaces_the_holds(
    store: LedgerStore, owner: UUID
) -> None:
    team = make_team()
    cost = make_policy(hard_limit=1000)
    tokens = make_policy(metric="tokens", hard_limit=1000, scope="global", interval="day")
    requests = make_policy(metric="requests", hard_limit=10, interval="total")
    request = admission(team)

    store.execute([request])

    row = ModelCall.objects.get(pk=request.call_id)
    assert (row.status, row.owner) == (CallStatus.IN_FLIGHT, owner)
    assert window_of(cost, team) == (0, 100)
    assert window_of(tokens) == (0, 50)
    assert window_of(requests, team) == (0, 1)

    assert store.execute([settlement(request.call_id)]) == [True]

    row.refresh_from_db()
    assert (row.status, row.cost, row.total_tokens) == (CallStatus.SUCCEEDED, 30, 15)
    assert window_of(cost, team) == (30, 0)
    assert window_of(tokens) == (15, 0)
    assert window_of(requests, team) == (1, 0)


def test_a_call_is_settled_once(store: LedgerStore) -> None:
    team, policy = make_team(), make_policy()
    request = admission(team)
    store.execute([request])

    first, second = store.execute(
        [settlement(request.call_id), settlement(request.call_id, cost=9999)]
    )
    again = store.execute([settlement(request.call_id, cost=9999)])

    assert (first, second, again) == (True, False, [False])
    assert window_of(policy, team) == (30, 0)


def test_one_batch_admits_exactly_what_fits(store: LedgerStore) -> None:
    team = make_team()
    policy = make_policy(metric="requests", hard_limit=37)

    results = store.execute([admission(team) for _ in range(100)])

    assert sum(admitted(results)) == 37
    assert window_of(policy, team) == (0, 37)
    assert ModelCall.objects.filter(status=CallStatus.BLOCKED).count() == 63


def test_a_refused_call_holds_nothing_anywhere_and_its_row_says_why(store: LedgerStore) -> None:
    team = make_team()
    roomy, tight = make_policy(hard_limit=10_000), make_policy(hard_limit=99, name="tight")
    request = admission(team, cost=100)

    assert admitted(store.execute([request])) == [False]

    row = ModelCall.objects.get(pk=request.call_id)
    assert row.status == CallStatus.BLOCKED
    assert "“tight”" in row.error
    assert row.holds == []
    assert window_of(roomy, team) == window_of(tight, team) == (0, 0)


def test_a_settlement_makes_room_within_the_same_batch(store: LedgerStore) -> None:
    team = make_team()
    policy = make_policy(hard_limit=100)
    first = admission(team, cost=100)
    store.execute([first])

    results = store.execute([admission(team, cost=70), settlement(first.call_id, cost=30)])

    assert admitted(results)[0] is True
    assert window_of(policy, team) == (30, 70)


def test_a_changed_limit_counts_for_the_next_call(store: LedgerStore) -> None:
    team = make_team()
    policy = make_policy(hard_limit=150)
    assert admitted(store.execute([admission(team, cost=100)])) == [True]
    policy.hard_limit = 250
    policy.save()
    assert admitted(store.execute([admission(team, cost=100)])) == [True]
    BudgetPolicy.objects.filter(pk=policy.pk).update(hard_limit=210)
    assert admitted(store.execute([admission(team, cost=100)])) == [False]


def test_what_was_used_beyond_the_hold_is_charged(store: LedgerStore) -> None:
    team = make_team()
    policy = make_policy(hard_limit=100)
    request = admission(team, cost=100)
    store.execute([request])
    store.execute([settlement(request.call_id, cost=140)])

    assert window_of(policy, team) == (140, 0)
    assert admitted(store.execute([admission(team, cost=1)])) == [False]


def test_teams_have_windows_of_their_own(store: LedgerStore) -> None:
    one, other = make_team(), make_team()
    policy = make_policy(hard_limit=100)
    only_one = make_policy(hard_limit=1000, team=one)

    results = store.execute([admission(one), admission(other), admission(one)])

    assert admitted(results) == [True, True, False]
    assert window_of(policy, other) == (0, 100)
    assert window_of(only_one, one) == (0, 100)
    assert not BudgetWindow.objects.filter(policy=only_one, scope_value=str(other.pk)).exists()


def test_a_new_policy_opens_with_what_the_ledger_says(store: LedgerStore) -> None:
    team, other = make_team(), make_team()
    done, under_way, elsewhere = admission(team), admission(team), admission(other)
    last_year = timezone.now() - timedelta(days=400)
    old = admission(team, admitted_at=last_year)
    store.execute([done, under_way, elsewhere, old])
    store.execute([settlement(done.call_id), settlement(elsewhere.call_id)])
    store.execute([settlement(old.call_id, cost=5000)])

    month = make_policy(hard_limit=10_000)
    tokens = make_policy(metric="tokens", hard_limit=10_000)
    requests = make_policy(metric="requests", hard_limit=10, scope="global", interval="total")
    store.execute([admission(team)])

    assert window_of(month, team) == (30, 200)
    assert window_of(tokens, team) == (15, 100)
    assert window_of(requests) == (3, 2)

    store.execute([settlement(under_way.call_id, cost=11)])

    assert window_of(month, team) == (41, 100)
    assert window_of(tokens, team) == (30, 50)
    assert window_of(requests) == (4, 1)


def test_a_new_policy_does_not_count_what_was_never_begun(store: LedgerStore) -> None:
    team, now = make_team(), timezone.now()
    given_up, skipped, failed, made = (admission(team) for _ in range(4))
    unmade = Unmade(
        call_id=made.call_id,
        team_id=team.pk,
        admitted_at=made.admitted_at,
        failure_class="transient_upstream",
        error="No provider.",
        row=made.row,
    )
    store.execute([given_up, skipped, failed, unmade])
    never = never_sent(given_up.call_id, now)
    free = settlement(failed.call_id, cost=0, status="failed", usage=Usage(reported=False))
    passed_over = replace(never, call_id=skipped.call_id, attempts=[{"outcome": "skipped"}])
    store.execute([never, passed_over, free])

    requests = make_policy(metric="requests", hard_limit=10)
    store.execute([admission(team)])
    assert window_of(requests, team) == (1, 1)


def test_a_disabled_policy_stops_nothing_but_goes_on_counting(store: LedgerStore) -> None:
    team = make_team()
    policy = make_policy(hard_limit=100)
    store.execute([admission(team)])
    BudgetPolicy.objects.update(enabled=False)
    request = admission(team)

    assert admitted(store.execute([request])) == [True]

    assert ModelCall.objects.get(pk=request.call_id).evaluations == []
    assert window_of(policy, team) == (0, 200)
    BudgetPolicy.objects.update(enabled=True)
    assert admitted(store.execute([admission(team)])) == [False]


def test_what_a_policy_counts_cannot_change_once_it_has_counted(store: LedgerStore) -> None:
    policy = make_policy(hard_limit=100)
    policy.metric = "tokens"
    policy.full_clean()
    policy.metric = "cost"
    store.execute([admission(make_team())])

    policy.hard_limit = 200
    policy.full_clean()
    policy.metric, policy.zone = "tokens", "Europe/Prague"
    with pytest.raises(ValidationError) as caught:
        policy.full_clean()
    assert set(caught.value.message_dict) == {"metric", "zone"}


def test_a_window_that_vanished_is_opened_again(store: LedgerStore) -> None:
    team, policy = make_team(), make_policy()
    first = admission(team)
    store.execute([first])
    BudgetWindow.objects.all().delete()

    assert store.execute([settlement(first.call_id)]) == [True]
    assert admitted(store.execute([admission(team)])) == [True]
    assert window_of(policy, team) == (30, 100)


def test_a_call_whose_policy_was_deleted_still_settles(store: LedgerStore) -> None:
    team, policy = make_team(), make_policy()
    request = admission(team)
    store.execute([request])
    policy.delete()

    assert store.execute([settlement(request.call_id)]) == [True]
    assert ModelCall.objects.get(pk=request.call_id).cost == 30


def test_the_day_of_admission_is_charged_even_when_the_call_ends_on_the_next(
    store: LedgerStore,
) -> None:
    team = make_team()
    policy = make_policy(interval="day")
    yesterday = timezone.now() - timedelta(days=1)
    request = admission(team, admitted_at=yesterday)
    store.execute([request])
    store.execute([settlement(request.call_id)])

    window = BudgetWindow.objects.get(policy=policy)
    assert window.starts_at <= yesterday < _end(window)
    assert (window.consumed, window.held) == (30, 0)


def _end(window: BudgetWindow) -> datetime:
    assert window.ends_at is not None
    return window.ends_at
