"""Every scope and metric in the ledger's store: who is counted where, and what of a call."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from governance import processes
from governance.ledger import Admitted, sweeper
from governance.ledger.store import LedgerStore
from governance.models import (
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    ModelCall,
)
from providers.identifiers import new_id
from tests.governance.ledger_calls import (
    Amounts,
    Who,
    another,
    asking,
    counters,
    ending,
    let_in,
    moving,
    value_of,
)
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
SCOPES = BudgetScope.values
METRICS = {"cost": 100, "tokens": 50, "input_tokens": 30, "output_tokens": 20, "requests": 1}
USED = {"cost": 30, "tokens": 15, "input_tokens": 10, "output_tokens": 5, "requests": 1}


class TestScopes:
    """Whose calls are counted together."""

    @pytest.mark.parametrize("scope", SCOPES)
    def test_each_value_of_a_scope_has_a_window_and_blocks_alone(
        self, store: LedgerStore, who: Who, scope: str
    ) -> None:
        policy, other = make_policy(scope=scope, hard_limit=100), another(who, scope)

        requests = [asking(who), asking(who, Amounts(cost=1)), asking(other)]
        answers = store.execute(requests)

        assert let_in(answers) == [True, False, scope != "global"]
        held = {value_of(one, scope): (0, 100) for one in (who, other)}
        assert counters(policy) == held
        refused = answers[1]
        assert isinstance(refused, Admitted)
        said = refused.admission.blocking
        assert said is not None
        assert (said.scope, said.scope_value) == (scope, value_of(who, scope))
        store.execute([ending(requests[0].call_id, cost=70)])
        assert counters(policy) == held | {value_of(who, scope): (70, 0)}

    @pytest.mark.parametrize("scope", ["user", "session", "api_key", "job"])
    def test_a_call_that_has_no_value_of_the_scope_is_not_counted(
        self, store: LedgerStore, scope: str
    ) -> None:
        policy = make_policy(scope=scope, hard_limit=0)
        assert let_in(store.execute([asking(Who(team=make_team()))])) == [True]
        assert not BudgetWindow.objects.filter(policy=policy).exists()

    def test_sessions_of_two_teams_are_two_though_they_have_one_name(
        self, store: LedgerStore
    ) -> None:
        policy = make_policy(scope="session", hard_limit=100)
        one, other = (Who(team=make_team(), session="talk") for _ in range(2))
        assert let_in(store.execute([asking(one), asking(other)])) == [True, True]
        assert counters(policy) == {value_of_session(each): (0, 100) for each in (one, other)}

    @pytest.mark.parametrize("scope", [one for one in SCOPES if one != "global"])
    def test_a_policy_of_a_team_counts_its_calls_alone(
        self, store: LedgerStore, who: Who, scope: str
    ) -> None:
        policy = make_policy(scope=scope, team=who.team, hard_limit=100)
        stranger = replace(who, team=make_team())
        requests = [asking(stranger), asking(who), asking(stranger), asking(who)]
        assert let_in(store.execute(requests)) == [True, True, True, False]
        assert counters(policy) == {value_of(who, scope): (0, 100)}

    @pytest.mark.parametrize("scope", [one for one in SCOPES if one not in ("global", "team")])
    def test_a_policy_of_one_value_counts_that_one_alone(
        self, store: LedgerStore, who: Who, scope: str
    ) -> None:
        policy = make_policy(
            scope=scope,
            value=value_of(who, scope),
            # Each team names its own sessions.
            team=who.team if scope == "session" else None,
            hard_limit=100,
        )
        other = another(who, scope)
        requests = [asking(other), asking(who), asking(other), asking(who)]
        assert let_in(store.execute(requests)) == [True, True, True, False]
        assert counters(policy) == {value_of(who, scope): (0, 100)}

    def test_all_scopes_have_a_say_in_the_same_call(self, store: LedgerStore, who: Who) -> None:
        policies = {scope: make_policy(scope=scope, hard_limit=250) for scope in SCOPES}
        calls = [asking(who), asking(who), asking(who)]
        assert let_in(store.execute(calls)) == [True, True, False]
        for scope, policy in policies.items():
            assert counters(policy) == {value_of(who, scope): (0, 200)}
        # The tightest stops it for all the others, which then hold nothing for it.
        BudgetPolicy.objects.exclude(scope="job").update(hard_limit=10_000)
        assert let_in(store.execute([asking(who)])) == [False]
        assert counters(policies["model"]) == {value_of(who, "model"): (0, 200)}
        assert let_in(store.execute([asking(another(who, "job"))])) == [True]


def test_a_run_of_its_own_opens_beside_windows_that_are_not_there_yet(
    store: LedgerStore, who: Who
) -> None:
    """The batch is tried again once those are open, and nothing of its first try may be left."""
    a_run, total = make_policy(interval="run", scope="global"), make_policy(interval="total")
    alone = replace(who, run=None)
    request = asking(alone)
    assert let_in(store.execute([request])) == [True]
    assert counters(a_run) == {f"|{request.call_id}": (0, 100)}
    assert counters(total) == {f"{who.team.pk}": (0, 100)}
    store.execute([ending(request.call_id)])
    assert counters(a_run) == {f"|{request.call_id}": (30, 0)}
    assert counters(total) == {f"{who.team.pk}": (30, 0)}


def value_of_session(who: Who) -> str:
    return f"{who.team.pk}:{who.session}"


class TestMetrics:
    """What is counted of a call."""

    @pytest.mark.parametrize("metric", METRICS)
    def test_what_is_held_and_what_is_charged(
        self, store: LedgerStore, who: Who, metric: str
    ) -> None:
        most, used = METRICS[metric], USED[metric]
        policy = make_policy(metric=metric, hard_limit=most + used)
        calls = [asking(who) for _ in range(3)]

        assert let_in(store.execute(calls[:1])) == [True]
        assert counters(policy) == {f"{who.team.pk}": (0, most)}
        store.execute([ending(calls[0].call_id)])
        assert counters(policy) == {f"{who.team.pk}": (used, 0)}
        # Exactly one more fits.
        assert let_in(store.execute(calls[1:])) == [True, False]

    @pytest.mark.parametrize("metric", METRICS)
    def test_an_abandoned_call_is_charged_what_was_expected(
        self, store: LedgerStore, owner: UUID, who: Who, metric: str
    ) -> None:
        policy = make_policy(metric=metric, hard_limit=1000)
        call = asking(who)
        store.execute([call])
        processes.end(owner)
        store.execute(sweeper.orphans(silence_counts=False))
        expected = Amounts().expected[metric]
        assert counters(policy) == {f"{who.team.pk}": (expected, 0)}
        assert store.execute([ending(call.call_id)]) == [True]
        assert counters(policy) == {f"{who.team.pk}": (USED[metric], 0)}

    def test_input_and_output_are_limited_apart(self, store: LedgerStore, who: Who) -> None:
        make_policy(metric="input_tokens", hard_limit=1000)
        output = make_policy(metric="output_tokens", hard_limit=45)
        long_question = asking(who, Amounts(entered=900, left=5))
        long_answer = asking(who, Amounts(entered=5, left=41))
        assert let_in(store.execute([long_question, long_answer])) == [True, False]
        assert counters(output) == {f"{who.team.pk}": (0, 5)}


class TestRuns:
    """Windows of one run: a firing of a scheduled job, or any other call."""

    def test_the_calls_of_a_scheduled_run_share_a_window(
        self, store: LedgerStore, who: Who
    ) -> None:
        policy = make_policy(interval="run", hard_limit=250)
        later_run = replace(who, run=new_id())
        calls = [asking(who), asking(who), asking(who), asking(later_run)]
        assert let_in(store.execute(calls)) == [True, True, False, True]
        team = who.team.pk
        assert counters(policy) == {
            f"{team}|{who.run}": (0, 200),
            f"{team}|{later_run.run}": (0, 100),
        }

        store.execute([ending(calls[0].call_id, cost=20)])
        assert let_in(store.execute([asking(who, Amounts(cost=130))])) == [True]
        assert counters(policy)[f"{team}|{who.run}"] == (20, 230)

    def test_any_other_call_is_a_run_of_its_own(self, store: LedgerStore) -> None:
        who = Who(team=make_team())
        policy = make_policy(interval="run", hard_limit=100)
        calls = [asking(who), asking(who), asking(who, Amounts(cost=101))]
        assert let_in(store.execute(calls)) == [True, True, False]
        held = {f"{who.team.pk}|{one.call_id}": (0, 100) for one in calls[:2]}
        assert counters(policy) == held

    @pytest.mark.parametrize("scope", SCOPES)
    def test_a_run_is_counted_in_every_scope(
        self, store: LedgerStore, who: Who, scope: str
    ) -> None:
        policy = make_policy(scope=scope, interval="run", hard_limit=150)
        assert let_in(store.execute([asking(who), asking(who)])) == [True, False]
        assert counters(policy) == {f"{value_of(who, scope)}|{who.run}": (0, 100)}


class TestOverrun:
    """A provider may charge more than was held: it is on record, and counts for the next call."""

    @pytest.mark.parametrize(("cost", "overrun"), [(130, 30), (101, 1), (100, 0), (20, 0)])
    def test_it_is_written_with_the_call(
        self, store: LedgerStore, who: Who, cost: int, overrun: int
    ) -> None:
        policy = make_policy(hard_limit=130)
        call = asking(who)
        store.execute([call])
        store.execute([ending(call.call_id, cost=cost)])
        assert ModelCall.objects.get(pk=call.call_id).overrun == overrun
        assert counters(policy) == {f"{who.team.pk}": (cost, 0)}
        left = 130 - cost
        assert let_in(store.execute([asking(who, Amounts(cost=left + 1))])) == [False]
        assert let_in(store.execute([asking(who, Amounts(cost=left))])) == [True]

    def test_the_next_of_the_same_batch_sees_it(self, store: LedgerStore, who: Who) -> None:
        make_policy(hard_limit=130)
        call = asking(who)
        store.execute([call])
        begin = asking(who, Amounts(cost=1))
        answers = store.execute([begin, ending(call.call_id, cost=130)])
        assert let_in(answers[:1]) == [False]

    def test_it_is_measured_by_what_was_held_last(self, store: LedgerStore, who: Who) -> None:
        call = asking(who)
        store.execute([call])
        store.execute([moving(call.call_id, Amounts(cost=500))])
        store.execute([ending(call.call_id, cost=510)])
        assert ModelCall.objects.get(pk=call.call_id).overrun == 10

    def test_a_late_correction_corrects_it(self, store: LedgerStore, owner: UUID, who: Who) -> None:
        call = asking(who)
        store.execute([call])
        processes.end(owner)
        store.execute(sweeper.orphans(silence_counts=False))
        assert ModelCall.objects.get(pk=call.call_id).overrun == 0
        store.execute([ending(call.call_id, cost=105)])
        assert ModelCall.objects.get(pk=call.call_id).overrun == 5
