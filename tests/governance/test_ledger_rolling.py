"""Rolling budgets in the ledger's store, and what is approved until a date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance.budgets import OVERRIDE_APPLIED
from governance.ledger import Admitted, Reheld
from governance.ledger.store import LedgerStore
from governance.models import (
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetPolicy,
    BudgetWindow,
    Team,
)
from governance.windows import bucket, leaves_at
from providers.identifiers import new_id
from tests.governance.ledger_calls import (
    Amounts,
    Who,
    asking,
    counters,
    ending,
    let_in,
    make_person,
    moving,
)
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class TestRolling:
    """The last hour or day, wherever the calendar stands."""

    def test_old_buckets_count_until_they_leave(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        policy = self._policy("hour", limit=250)
        for minutes, fits in ((0, True), (20, True), (40, False)):
            at = NOON + timedelta(minutes=minutes)
            clock(at)
            assert let_in(store.execute([asking(who, at=at)])) == [fits]

        # The first leaves with its whole bucket, an hour after that has ended.
        leaves = leaves_at("hour", bucket("hour", NOON))
        assert leaves == NOON + timedelta(minutes=65)
        for at, fits in ((leaves - timedelta(seconds=1), False), (leaves, True), (leaves, False)):
            clock(at)
            assert let_in(store.execute([asking(who, at=at)])) == [fits]
        assert counters(policy) == {f"{who.team.pk}": (0, 300)}

    def test_one_whose_clock_is_behind_sees_what_others_have_begun(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        """Two machines a moment apart, on either side of a bucket's boundary."""
        self._policy("minute", limit=150)
        ahead, behind = NOON + timedelta(seconds=1), NOON - timedelta(seconds=1)
        clock(ahead)
        assert let_in(store.execute([asking(who, at=ahead)])) == [True]
        clock(behind)
        assert let_in(LedgerStore(new_id()).execute([asking(who, at=behind)])) == [False]

    def test_one_that_goes_on_late_is_asked_of_the_last_minute_alone(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        policy = self._policy("minute", limit=250)
        clock(NOON)
        earlier, call = asking(who, at=NOON), asking(who, at=NOON + timedelta(seconds=40))
        assert let_in(store.execute([earlier])) == [True]
        clock(NOON + timedelta(seconds=40))
        assert let_in(store.execute([call])) == [True]
        # By now the first has left, and the second may take more than was free when it began.
        clock(NOON + timedelta(seconds=75))
        (answer,) = store.execute([moving(call.call_id, Amounts(cost=240))])
        assert isinstance(answer, Reheld)
        assert answer.refusal == ""
        assert sum(held for _, held in _all_counters(policy)) == 340

    def test_what_was_used_is_charged_to_the_bucket_it_was_admitted_in(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        policy = self._policy("day", limit=1000)
        call = asking(who, at=NOON)
        clock(NOON)
        store.execute([call])
        clock(NOON + timedelta(hours=5))
        store.execute([ending(call.call_id), asking(who, at=NOON + timedelta(hours=5))])
        by_start = dict(
            BudgetWindow.objects.filter(policy=policy)
            .exclude(consumed=0, held=0)
            .values_list("starts_at", "consumed")
        )
        assert by_start == {NOON: 30, NOON + timedelta(hours=5): 0}

    def test_it_says_when_room_comes_back(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        self._policy("hour", limit=100)
        clock(NOON)
        store.execute([asking(who, at=NOON)])
        later = NOON + timedelta(minutes=30)
        clock(later)
        (answer,) = store.execute([asking(who, at=later)])
        assert isinstance(answer, Admitted)
        said = answer.admission.blocking
        assert said is not None
        assert said.resets_at == NOON + timedelta(minutes=65)
        assert "free again from 2026-03-02 13:05:00 UTC" in said.explanation

    @pytest.mark.parametrize("interval", ["minute", "day", "quarter", "year"])
    def test_only_the_bucket_of_the_call_is_opened_once_all_was_counted(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None], interval: str
    ) -> None:
        """The policy has counted for long, so a bucket without a row has nothing in it."""
        policy = self._policy(interval, limit=1000)
        for at in (NOON, NOON + timedelta(days=1000)):
            clock(at)
            store.execute([asking(who, at=at)])
        assert BudgetWindow.objects.filter(policy=policy).count() == 2

    def test_buckets_from_before_a_policy_counted_are_opened_from_the_ledger(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        calls = [asking(who, at=NOON - timedelta(hours=hours)) for hours in (30, 20, 3)]
        store.execute(calls)
        store.execute([ending(one.call_id, cost=70) for one in calls[:2]])
        policy = self._policy("day", limit=300, since=NOON - timedelta(hours=1))
        clock(NOON)
        # 70 of 20 hours ago, and 100 under way since 3 hours; that of 30 hours ago is no more.
        assert let_in(store.execute([asking(who, Amounts(cost=131), at=NOON)])) == [False]
        assert let_in(store.execute([asking(who, Amounts(cost=130), at=NOON)])) == [True]
        assert counters(policy) == {f"{who.team.pk}": (70, 230)}
        store.execute([ending(calls[2].call_id, cost=30)])
        assert counters(policy) == {f"{who.team.pk}": (100, 130)}

    def test_buckets_are_remembered_and_cost_no_query_each(
        self, store: LedgerStore, who: Who, clock: Callable[[datetime], None]
    ) -> None:
        self._policy("year", limit=10_000)
        clock(NOON)
        store.execute([asking(who, at=NOON)])
        with CaptureQueriesContext(
            connection,
        ) as first:
            store.execute([asking(who, at=NOON)])
        for _ in range(5):
            self._policy("year", limit=10_000)
        store.execute([asking(who, at=NOON)])
        with CaptureQueriesContext(connection) as with_more:
            store.execute([asking(who, at=NOON)])
        assert len(with_more) == len(first)

    def _policy(
        self, interval: str, *, limit: int, since: datetime = NOON - timedelta(days=3000)
    ) -> BudgetPolicy:
        policy = make_policy(interval=interval, rolling=True, hard_limit=limit)
        BudgetPolicy.objects.filter(pk=policy.pk).update(created_at=since)
        return policy


class TestApprovedUntilADate:
    """What is approved until a date raises every window of its value, and ends by itself."""

    @pytest.mark.parametrize(
        ("interval", "rolling"), [("month", False), ("hour", True), ("run", False)]
    )
    def test_it_raises_until_then_and_no_longer(
        self,
        store: LedgerStore,
        who: Who,
        clock: Callable[[datetime], None],
        interval: str,
        rolling: bool,
    ) -> None:
        policy = make_policy(interval=interval, rolling=rolling, hard_limit=100)
        now = timezone.now()
        store.execute([asking(who)])
        assert let_in(store.execute([asking(who)])) == [False]
        self._approve(policy, who.team, amount=150, until=now + timedelta(minutes=10))

        (answer,) = store.execute([asking(who)])

        assert isinstance(answer, Admitted)
        (said,) = answer.admission.evaluations
        assert (said.outcome, said.limit) == (OVERRIDE_APPLIED, 250)
        assert let_in(store.execute([asking(who, Amounts(cost=51))])) == [False]
        # Nothing is written when it ends, and nobody asks again what is in force.
        windows = list(BudgetWindow.objects.order_by("pk").values_list("raised_by", flat=True))
        clock(now + timedelta(minutes=10))
        assert let_in(store.execute([asking(who, Amounts(cost=50))])) == [False]
        assert set(windows) == {0}
        assert set(BudgetWindow.objects.values_list("raised_by", flat=True)) == {0}

    def test_it_is_for_the_value_it_was_asked_for(self, store: LedgerStore, who: Who) -> None:
        policy, other = make_policy(hard_limit=0), replace(who, team=make_team())
        tomorrow = timezone.now() + timedelta(days=1)
        self._approve(policy, who.team, amount=100, until=tomorrow)
        assert let_in(store.execute([asking(other), asking(who)])) == [False, True]

    @pytest.mark.parametrize("status", [ApprovalStatus.PENDING, ApprovalStatus.DENIED])
    def test_what_was_not_approved_raises_nothing(
        self, store: LedgerStore, who: Who, status: str
    ) -> None:
        policy = make_policy(hard_limit=0)
        tomorrow = timezone.now() + timedelta(days=1)
        self._approve(policy, who.team, amount=100, until=tomorrow, status=status)
        assert let_in(store.execute([asking(who)])) == [False]

    def _approve(
        self,
        policy: BudgetPolicy,
        team: Team,
        *,
        amount: int,
        until: datetime,
        status: str = ApprovalStatus.APPROVED,
    ) -> None:
        Approval.objects.create(
            team=team,
            policy=policy,
            amount=amount,
            scope_value=f"{team.pk}",
            until=ApprovalUntil.DATE,
            expires_at=until,
            reason="More is needed.",
            requested_by=make_person(),
            status=status,
        )


def _all_counters(policy: BudgetPolicy) -> list[tuple[int, int]]:
    return list(BudgetWindow.objects.filter(policy=policy).values_list("consumed", "held"))
