"""`palyra demo`: plausible, the same every time, and only where there is nothing yet."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.ledger.rebuilding import rebuild
from governance.models import (
    Alert,
    Approval,
    ApprovalStatus,
    BudgetWindow,
    CallStatus,
    ModelCall,
    Team,
)
from governance.standing import standings
from palyra_site.demo import NotEmpty, contents, fill, history
from palyra_site.demo.history import DAYS, Habit
from palyra_site.management.commands import demo
from providers.models import Provider, ProviderKind
from scheduling.models import CronJob, CronRun, RunStatus
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db
END = datetime(2026, 3, 26, 15, 0, tzinfo=UTC)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same habits, with a tenth of the calls."""
    fewer = tuple(
        Habit(**{**{name: getattr(one, name) for name in one.__slots__}, "a_day": one.a_day / 10})
        for one in history.HABITS
    )
    monkeypatch.setattr(history, "HABITS", fewer)


def _told() -> dict[str, Any]:
    """What is to be the same each time."""
    columns = ("id", "team__slug", "api_key__name", "user__username", "session", "model", "status")
    amounts = ("cost", "output_tokens", "latency_ms", "admitted_at", "requested_model", "cached")
    return {
        "calls": list(ModelCall.objects.order_by("id").values_list(*columns, *amounts)),
        "runs": list(
            CronRun.objects.order_by("id").values_list("id", "job__name", "slot", "status", "cost")
        ),
        "windows": sorted(
            BudgetWindow.objects.values_list("policy__name", "starts_at", "consumed", "raised_by")
        ),
        "requests": sorted(Approval.objects.values_list("reason", "amount", "status")),
        "alerts": sorted(Alert.objects.values_list("title", "first_seen_at")),
    }


def _filled(**asked: Any) -> dict[str, Any]:
    """What filling would make; nothing stays."""
    with transaction.atomic():
        fill(now=END, **asked)
        told = _told()
        transaction.set_rollback(True)
    return told


def test_the_same_seed_and_end_give_the_same(quick: None) -> None:
    assert _filled(seed=1) == _filled(seed=1)


def test_six_weeks_of_four_teams_are_plausible(quick: None) -> None:
    fill(now=END)

    assert Team.objects.count() == 4
    calls = list(ModelCall.objects.select_related("team"))
    first, last = min(one.admitted_at for one in calls), max(one.admitted_at for one in calls)
    assert END - timedelta(days=DAYS) <= first < END - timedelta(days=DAYS - 3)
    assert END - timedelta(days=2) < last < END
    assert {one.team.slug for one in calls} == {"support", "research", "engineering", "billing"}
    statuses = Counter(one.status for one in calls)
    assert statuses[CallStatus.SUCCEEDED] > 0.9 * len(calls)
    assert {CallStatus.FAILED, CallStatus.CANCELLED} <= set(statuses)
    assert CallStatus.IN_FLIGHT not in statuses
    assert any(one.cached for one in calls)
    assert all(one.settled_at is not None and one.settled_at <= END for one in calls)
    runs = Counter(CronRun.objects.values_list("status", flat=True))
    assert runs[RunStatus.SUCCEEDED] > 100
    assert Approval.objects.filter(status=ApprovalStatus.PENDING).count() == 2
    assert Alert.objects.filter(resolved_at=None).count() == 2

    _windows_and_sums_agree()
    _nothing_of_it_reaches_a_host()
    _nobody_can_sign_in()
    _its_jobs_are_due_after_its_end()


def _windows_and_sums_agree() -> None:
    assert rebuild(mend=False).equal
    tightest = {one.policy.name: one.percent for one in standings(now=END)}
    assert tightest["Support, a month"] > tightest["Research, a month"]
    assert 80 <= tightest["Support, a month"] <= 95


def _nothing_of_it_reaches_a_host() -> None:
    assert set(Provider.objects.values_list("kind", flat=True)) == {ProviderKind.DETERMINISTIC}
    assert not Provider.objects.exclude(base_url="").exists()


def _nobody_can_sign_in() -> None:
    """Until they are given passwords."""
    assert not any(person.has_usable_password() for person in User.objects.all())
    assert list(User.objects.filter(is_superuser=True).values_list("username", flat=True)) == [
        "admin"
    ]


def _its_jobs_are_due_after_its_end() -> None:
    enabled = CronJob.objects.filter(enabled=True)
    assert enabled.count() == 4
    assert all(job.next_slot is not None and job.next_slot > END for job in enabled)


def test_where_there_is_anything_it_refuses_and_changes_nothing() -> None:
    make_team()

    assert contents() == ["1 team"]
    with pytest.raises(NotEmpty) as refused:
        fill(now=END)
    assert refused.value.found == ["1 team"]
    with pytest.raises(CommandError, match=r"not empty: it has 1 team\. Nothing was changed\."):
        call_command("demo", stdout=io.StringIO())
    assert Team.objects.count() == 1
    assert not User.objects.exists()


def test_a_database_of_another_version_is_not_even_migrated(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "unapplied_migrations", lambda: 1)
    monkeypatch.setattr(demo, "call_command", lambda *_, **__: pytest.fail("It was migrated."))

    with pytest.raises(CommandError, match="of another version"):
        call_command("demo", stdout=io.StringIO())


def test_the_command_tells_whom_to_sign_in_as(quick: None) -> None:
    out = io.StringIO()
    call_command("demo", "--seed", "7", "--until", "2026-03-26", stdout=out)

    lines = out.getvalue().split()
    password = lines[lines.index("Password") + 1]
    assert Client().login(username="admin", password=password)
    assert "palyra up" in out.getvalue()
    latest = ModelCall.objects.latest("admitted_at").admitted_at
    assert latest < datetime(2026, 3, 26, tzinfo=UTC)


@pytest.mark.parametrize("until", ["tomorrow", "2026-02-30"])
def test_an_end_that_is_none_is_refused(until: str) -> None:
    with pytest.raises(CommandError, match="is not a day or a time"):
        call_command("demo", "--until", until, stdout=io.StringIO())


def test_an_end_to_come_is_refused() -> None:
    later = (timezone.now() + timedelta(days=2)).isoformat()
    with pytest.raises(CommandError, match="in the future"):
        call_command("demo", "--until", later, stdout=io.StringIO())
    assert not User.objects.exists()
