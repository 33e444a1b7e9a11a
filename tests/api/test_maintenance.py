"""The jobs of upkeep, through the API."""

from __future__ import annotations

import pytest
from django.utils import timezone

from governance.models import AuditEntry
from scheduling.maintenance import booking
from scheduling.maintenance.catalogue import CATALOGUE
from tests.api.callers import Caller, body_of, items_of, person, signed_in
from tests.api.problems import faults

pytestmark = pytest.mark.django_db
CHANGES = ("pause", "resume", "run", "schedule")


@pytest.fixture(autouse=True)
def rows(db: None) -> None:
    booking.make_rows(timezone.now())


def test_jobs_are_listed_and_operated(organisation: Caller) -> None:
    listed = items_of(organisation.get("/maintenance"))
    assert [one["name"] for one in listed] == sorted(one.name for one in CATALOGUE)
    alerts = listed[0]
    assert (alerts["title"], alerts["enabled"], alerts["running"]) == ("Alerts", True, False)

    paused = body_of(organisation.post("/maintenance/alerts/pause", {"reason": "Too loud."}))
    assert (paused["enabled"], paused["paused_reason"], paused["next_at"]) == (
        False,
        "Too loud.",
        None,
    )
    assert body_of(organisation.post("/maintenance/alerts/run"))["next_at"] is not None
    assert body_of(organisation.post("/maintenance/alerts/resume"))["enabled"] is True
    changed = organisation.send("PUT", "/maintenance/alerts/schedule", {"cron": "*/5 * * * *"})
    assert (body_of(changed)["cron"], body_of(changed)["every_seconds"]) == ("*/5 * * * *", None)
    assert AuditEntry.objects.filter(object_type="scheduling.maintenancejob").count() == 3


def test_faults_are_said_by_field(organisation: Caller) -> None:
    wrong = organisation.send("PUT", "/maintenance/alerts/schedule", {"cron": "61 * * * *"})
    assert set(faults(wrong)) == {"cron"}
    assert set(faults(organisation.post("/maintenance/alerts/pause", {"reason": ""}))) == {"reason"}
    assert organisation.post("/maintenance/weather/run").status_code == 404


def test_who_may_see_may_not_change_and_keys_may_neither(integration: Caller) -> None:
    viewer = signed_in(person("viewer", "scheduling.view_maintenancejob"))
    assert viewer.get("/maintenance").status_code == 200
    assert integration.get("/maintenance").status_code == 403
    for caller in (viewer, integration):
        for change in CHANGES:
            method = "PUT" if change == "schedule" else "POST"
            body = {"reason": "x"} if change == "pause" else {} if change == "schedule" else None
            sent = caller.send(method, f"/maintenance/alerts/{change}", body)
            assert sent.status_code == 403, change
