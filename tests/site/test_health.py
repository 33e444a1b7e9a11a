"""`/readyz`: each check in words, and what it makes of what it finds."""

from __future__ import annotations

import json
import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import ProcessHeartbeat
from palyra_site import health
from palyra_site.health import Check, judge_migrations, judge_queue, judge_role, readyz
from providers.identifiers import new_id
from scheduling import messages

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def heartbeat(role: str, seen_at: datetime) -> ProcessHeartbeat:
    return ProcessHeartbeat(
        id=new_id(),
        role=role,
        host=socket.gethostname(),
        pid=1,
        started_at=seen_at,
        seen_at=seen_at,
    )


@pytest.mark.parametrize(
    ("unapplied", "check"),
    [
        (0, Check("migrations", True, "all applied")),
        (3, Check("migrations", False, "3 not applied: run `palyra migrate`")),
    ],
)
def test_migrations(unapplied: int, check: Check) -> None:
    assert judge_migrations(unapplied) == check


@pytest.mark.parametrize(
    ("waited", "ok", "message"),
    [
        (None, True, "empty"),
        (timedelta(seconds=-1), True, "the oldest message has waited 0 s"),
        (timedelta(seconds=119.6), True, "the oldest message has waited 120 s"),
        (timedelta(minutes=2), True, "the oldest message has waited 120 s"),
        (timedelta(minutes=3), False, "the oldest message has waited 180 s: no worker runs"),
    ],
)
def test_the_queue(waited: timedelta | None, ok: bool, message: str) -> None:
    check = judge_queue(waited)
    assert (check.name, check.ok) == ("queue", ok)
    assert check.message.startswith(message)


@pytest.mark.parametrize(
    ("ages", "ok", "message"),
    [
        ([], False, "none has been heard of lately: run `palyra worker`"),
        ([3], True, "1 process, last heard of 3 s ago"),
        ([7, 2], True, "2 processes, last heard of 2 s ago"),
        ([-1], True, "1 process, last heard of 0 s ago"),
    ],
)
def test_a_role(ages: list[int], ok: bool, message: str) -> None:
    alive = [heartbeat("worker", NOW - timedelta(seconds=age)) for age in ages]
    alive.append(heartbeat("web", NOW))
    assert judge_role("worker", alive, NOW) == Check("worker", ok, message)


def ask(method: str = "get") -> Any:
    return readyz(getattr(RequestFactory(), method)("/readyz"))


def found(response: Any) -> dict[str, tuple[bool, str]]:
    body = json.loads(response.content)
    return {check["name"]: (check["ok"], check["message"]) for check in body["checks"]}


@pytest.mark.django_db
class TestView:
    """The view over a real database."""

    def beat(self) -> None:
        for role in ("worker", "scheduler"):
            heartbeat(role, timezone.now()).save()

    def test_all_well(self) -> None:
        self.beat()
        response = ask()
        assert response.status_code == 200
        assert list(found(response)) == ["database", "migrations", "queue", "worker", "scheduler"]
        assert all(ok for ok, _ in found(response).values())
        assert "no-store" in response["Cache-Control"]

    def test_nobody_works(self) -> None:
        response = ask()
        assert response.status_code == 503
        assert [name for name, (ok, _) in found(response).items() if not ok] == [
            "worker",
            "scheduler",
        ]

    def test_a_process_not_heard_of_for_long_does_not_count(self) -> None:
        self.beat()
        ProcessHeartbeat.objects.filter(role="scheduler").update(
            seen_at=timezone.now() - timedelta(minutes=5)
        )
        response = ask()
        assert response.status_code == 503
        assert not found(response)["scheduler"][0]

    @pytest.mark.parametrize(("minutes", "status"), [(1, 200), (5, 503)])
    def test_messages_that_wait(self, minutes: int, status: int) -> None:
        self.beat()
        queued_at = timezone.now() - timedelta(minutes=minutes)
        key = messages.broker().list_key
        OrmQ.objects.create(key=key, payload="x", lock=queued_at)
        OrmQ.objects.create(key="another", payload="x", lock=queued_at - timedelta(days=1))
        response = ask()
        assert response.status_code == status
        assert f"has waited {minutes * 60} s" in found(response)["queue"][1]

    def test_messages_in_work_do_not_wait(self) -> None:
        self.beat()
        taken_until = timezone.now() + timedelta(hours=1)
        OrmQ.objects.create(key=messages.broker().list_key, payload="x", lock=taken_until)
        assert found(ask())["queue"] == (True, "empty")

    def test_migrations_that_are_not_applied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.beat()
        monkeypatch.setattr(health, "unapplied_migrations", lambda: 2)
        response = ask()
        assert response.status_code == 503
        assert found(response)["migrations"][1].startswith("2 not applied")

    def test_the_test_database_has_every_migration(self) -> None:
        assert health.unapplied_migrations() == 0

    @pytest.mark.parametrize(("method", "status"), [("head", 200), ("post", 405)])
    def test_it_is_for_reading(self, method: str, status: int) -> None:
        self.beat()
        assert ask(method).status_code == status


@pytest.mark.django_db
def test_a_database_that_fails_is_said_without_its_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("password hunter2 is wrong")

    monkeypatch.setattr(connection, "cursor", fail)
    with caplog.at_level(logging.WARNING):
        response = ask()
    assert response.status_code == 503
    assert found(response)["database"] == (False, "could not be looked at; the log says why")
    assert b"hunter2" not in response.content
    assert "The readiness check of the database failed" in caplog.text


def test_redis_says_how_many_messages_it_has(settings: Any, monkeypatch: Any) -> None:
    class Broker:
        """Stands in for the Redis broker."""

        def queue_size(self) -> int:
            return 7

    settings.Q_CLUSTER = {"redis": "redis://cache"}
    monkeypatch.setattr(messages, "broker", Broker)
    checks = {check.name: check for check in health.look(NOW)}
    assert checks["queue"] == Check("queue", True, "7 messages in Redis")
