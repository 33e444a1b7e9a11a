"""The page of Palyra's own upkeep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.maintenance import booking
from scheduling.models import MaintenanceJob
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of

pytestmark = pytest.mark.django_db
LIST = "admin:scheduling_maintenancejob_changelist"


@pytest.fixture(autouse=True)
def rows(db: None) -> None:
    booking.make_rows(timezone.now())


def _do(browser: Client, name: str, action: str, **fields: Any) -> str:
    address = reverse("admin:scheduling_maintenancejob_do", args=[name, action])
    sent = {f"{action}-{field}": value for field, value in fields.items()}
    return text_of(browser.post(address, sent, follow=True).content.decode())


def test_every_job_is_listed_with_its_schedule(browser: Client) -> None:
    shown = text_of(browser.get(reverse(LIST)).content.decode())
    for words in ("Deliveries", "Every second", "Retention", "At 02:07", "Has not run"):
        assert words in shown


def test_a_job_that_has_nothing_to_do_is_not_said_to_be_late(browser: Client) -> None:
    now = timezone.now()
    page = reverse("admin:scheduling_maintenancejob_change", args=["deliveries"])
    for seconds, waits in ((30, True), (600, False)):
        ended = now - timedelta(seconds=seconds)
        MaintenanceJob.objects.update(
            last_started_at=ended, last_finished_at=ended, next_at=ended + timedelta(seconds=1)
        )
        shown = text_of(browser.get(page).content.decode())
        assert ("When there is something to do" in shown) is waits
    # Asked for, it is late.
    MaintenanceJob.objects.update(last_finished_at=now, next_at=now)
    assert "When there is" not in text_of(browser.get(page).content.decode())


def test_a_job_is_paused_resumed_run_and_rescheduled(browser: Client) -> None:
    assert "It is paused: Too loud." in _do(browser, "alerts", "pause", reason="Too loud.")
    assert not MaintenanceJob.objects.get(pk="alerts").enabled
    assert "A scheduler runs it in a moment." in _do(browser, "alerts", "run_now")
    assert "It runs again." in _do(browser, "alerts", "resume")
    done = _do(browser, "alerts", "reschedule", cron="", every_seconds="60")
    assert "It runs by a new schedule: Every minute." in done
    assert "61" in _do(browser, "alerts", "reschedule", cron="61 * * * *", every_seconds="")
    assert MaintenanceJob.objects.get(pk="alerts").every_seconds == 60


def test_whoever_may_only_look_is_offered_nothing(client: Client) -> None:
    viewer = signed_in(staff("viewer", "scheduling.view_maintenancejob"))
    page = reverse("admin:scheduling_maintenancejob_change", args=["alerts"])
    assert "Run now" not in text_of(viewer.get(page).content.decode())
    address = reverse("admin:scheduling_maintenancejob_do", args=["alerts", "pause"])
    assert viewer.post(address, {"pause-reason": "x"}).status_code == 403
    assert MaintenanceJob.objects.get(pk="alerts").enabled
