"""What holds for the whole installation, through the API."""

from __future__ import annotations

from typing import Any

import pytest

from governance import snapshot
from governance.models import GovernanceSettings
from tests.api.callers import Caller, body_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults

# A form over one row: once is enough.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
DEFAULTS = {
    "routing_mode": "suggest",
    "output_floor": 256,
    "price_stale_days": 90,
    "spike_factor": 3,
}


def test_settings_are_shown_and_changed(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    with nothing_stored():
        assert body_of(organisation.get("/settings")) == DEFAULTS
    wanted = {"routing_mode": "enforced", "output_floor": 16}
    assert body_of(organisation.patch("/settings", wanted)) == {**DEFAULTS, **wanted}
    assert body_of(organisation.patch("/settings", {"spike_factor": 5}))["output_floor"] == 16
    assert GovernanceSettings.objects.count() == 1
    assert snapshot.load().settings == snapshot.SettingsEntry(
        routing_mode="enforced", output_floor=16
    )


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (
            {"routing_mode": "", "output_floor": 0, "price_stale_days": 3651, "spike_factor": 1},
            {"routing_mode", "output_floor", "price_stale_days", "spike_factor"},
        ),
        ({"output_floor": 10**12, "routing_mode": "loud"}, {"output_floor", "routing_mode"}),
        ({"output_floor": "16"}, {"output_floor"}),
        ({"colour": "red"}, {"colour"}),
    ],
)
def test_bad_settings_store_nothing(
    organisation: Caller, nothing_stored: NothingStored, changes: Any, fields: set[str]
) -> None:
    body_of(organisation.patch("/settings", {}))
    with nothing_stored():
        assert faults(organisation.patch("/settings", changes)).keys() == fields


def test_who_may_only_look_changes_nothing(nothing_stored: NothingStored) -> None:
    looker = signed_in(person("looker", "governance.view_governancesettings"))
    assert body_of(looker.get("/settings")) == DEFAULTS
    with nothing_stored():
        assert_problem(looker.patch("/settings", {"routing_mode": "enforced"}), 403)
