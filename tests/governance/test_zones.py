"""IANA time zones, and nothing that only looks like one."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from governance.zones import validate_zone, zone, zone_names


def test_every_name_offered_is_a_zone_and_utc_is_the_first() -> None:
    names = zone_names()
    assert names[0] == "UTC"
    assert {"Europe/Prague", "America/New_York", "Asia/Kathmandu"} < set(names)
    assert len(names) == len(set(names))
    assert all(isinstance(zone(name), ZoneInfo) for name in names)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Europe/Nowhere",
        "europe/prague",
        "Europe/Prague ",
        "Europe",
        "../UTC",
        "/etc/passwd",
        "+02:00",
        "CET+1",
        "localtime",
        "Factory",
        "UTC\x00",
    ],
)
def test_anything_else_is_refused_in_the_same_words(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone") as caught:
        zone(name)
    with pytest.raises(ValidationError) as refused:
        validate_zone(name)
    assert refused.value.message == str(caught.value)
    assert "Europe/Prague" in refused.value.message
