"""Calls as the ledger's store is asked for them, whoever makes them and wherever they go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from governance import keys
from governance.budgets import Demand, Policy, Subject
from governance.ledger import AdmissionRequest, Admitted, Rehold, Settlement
from governance.ledger.operations import Result
from governance.models import ApiKey, BudgetPolicy, BudgetWindow, CallStatus, Team
from governance.snapshot import policy_entry
from providers.identifiers import new_id
from providers.usage import Usage
from tests.support.factories import make_team

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whose call it is, and where it goes."""

    team: Team
    provider: str = "p"
    model: str = "m"
    key: ApiKey | None = None
    user: User | None = None
    session: str = ""
    job: UUID | None = None
    run: UUID | None = None

    def subject(self, call_id: UUID) -> Subject:
        """As a policy sees it."""
        return Subject(
            team_id=self.team.pk,
            call_id=call_id,
            provider=self.provider,
            model=self.model,
            api_key_id=self.key.pk if self.key else None,
            user_id=self.user.pk if self.user else None,
            session=self.session,
            job_id=self.job,
            run_id=self.run,
        )

    def columns(self) -> dict[str, Any]:
        """As its row says."""
        return {
            "api_key_id": self.key.pk if self.key else None,
            "user_id": self.user.pk if self.user else None,
            "session": self.session,
            "job_id": self.job,
            "run_id": self.run,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What a call may use at most; two fifths of it are likely."""

    cost: int = 100
    entered: int = 30
    left: int = 20

    @property
    def demand(self) -> Demand:
        return Demand(cost=self.cost, input_tokens=self.entered, output_tokens=self.left)

    @property
    def expected(self) -> dict[str, int]:
        entered, left = self.entered * 2 // 5, self.left * 2 // 5
        return {
            "cost": self.cost * 2 // 5,
            "tokens": entered + left,
            "input_tokens": entered,
            "output_tokens": left,
            "requests": 1,
        }

    def columns(self, provider: str, model: str) -> dict[str, Any]:
        """What a row says of it, and of where it goes."""
        expected = self.expected
        return {
            "provider": provider,
            "model": model,
            "estimate_upper": self.cost,
            "estimate_expected": expected["cost"],
            "token_bound": self.entered + self.left,
            "output_bound": self.left,
            "expected_input_tokens": expected["input_tokens"],
            "expected_output_tokens": expected["output_tokens"],
        }


USUAL = Amounts()


def asking(
    who: Who, amounts: Amounts = USUAL, *, at: datetime | None = None, **more: Any
) -> AdmissionRequest:
    """Ask to begin a call of `who`, made now or at another time."""
    call_id, now = new_id(), timezone.now()
    row = {"surface": "openai", "task_class": "primary_interactive", "requested_model": "m"}
    return AdmissionRequest(
        call_id=call_id,
        subject=who.subject(call_id),
        admitted_at=at or now,
        expires_at=now + timedelta(minutes=2),
        demand=amounts.demand,
        expected=amounts.expected,
        row=row | who.columns() | amounts.columns(who.provider, who.model),
        **more,
    )


def moving(
    call_id: UUID, amounts: Amounts = USUAL, *, provider: str = "p", model: str = "m"
) -> Rehold:
    """Ask to go on with a call elsewhere."""
    return Rehold(
        call_id=call_id,
        demand=amounts.demand,
        expected=amounts.expected,
        row=amounts.columns(provider, model),
        expires_at=timezone.now() + timedelta(minutes=2),
    )


def ending(
    call_id: UUID, *, cost: int = 30, entered: int = 10, left: int = 5, **more: Any
) -> Settlement:
    """A call that used this much."""
    return Settlement(
        call_id=call_id,
        status=more.pop("status", CallStatus.SUCCEEDED),
        settled_at=timezone.now(),
        usage=Usage(uncached_input=entered, output=left),
        cost=cost,
        **more,
    )


def let_in(results: Sequence[Result]) -> list[bool]:
    """Which of the admissions asked for may begin."""
    assert all(isinstance(one, Admitted) for one in results)
    return [isinstance(one, Admitted) and one.admission.blocking is None for one in results]


def counters(policy: BudgetPolicy) -> dict[str, tuple[int, int]]:
    """Consumed and held by scope value, all windows together; those that have something."""
    found: dict[str, tuple[int, int]] = {}
    for window in BudgetWindow.objects.filter(policy=policy):
        consumed, held = found.get(window.scope_value, (0, 0))
        found[window.scope_value] = consumed + window.consumed, held + window.held
    return {value: one for value, one in found.items() if any(one)}


def entry(policy: BudgetPolicy) -> Policy:
    """The policy as calls see it."""
    return policy_entry(BudgetPolicy.objects.get(pk=policy.pk))


def make_key(team: Team) -> ApiKey:
    """A key of the team."""
    return keys.create(team=team, name="tests").record


def make_person() -> User:
    """Somebody who can sign in."""
    return User.objects.create_user(f"person-{next(_numbers)}")


def make_caller() -> Who:
    """Somebody whose call every scope counts."""
    team = make_team()
    return Who(
        team=team,
        key=make_key(team),
        user=make_person(),
        session="talk",
        job=new_id(),
        run=new_id(),
    )


def another(who: Who, scope: str) -> Who:
    """The same but for what a scope asks about; for everyone's, in another session."""
    changes: dict[str, Callable[[], dict[str, Any]]] = {
        "global": lambda: {"session": "other"},
        "team": lambda: {"team": make_team()},
        "user": lambda: {"user": make_person()},
        "session": lambda: {"session": "other"},
        "api_key": lambda: {"key": make_key(who.team)},
        "job": lambda: {"job": new_id()},
        "provider": lambda: {"provider": "q"},
        "model": lambda: {"model": "n"},
    }
    return replace(who, **changes[scope]())


def value_of(who: Who, scope: str) -> str:
    """What names the window of a scope, said here once more."""
    assert who.user is not None
    assert who.key is not None
    return {
        "global": "",
        "team": f"{who.team.pk}",
        "user": f"{who.user.pk}",
        "session": f"{who.team.pk}:{who.session}",
        "api_key": f"{who.key.pk}",
        "job": f"{who.job}",
        "provider": who.provider,
        "model": f"{who.provider}/{who.model}",
    }[scope]
