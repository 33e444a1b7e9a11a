"""IANA time zones."""

from __future__ import annotations

import zoneinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Every zone a person may choose, UTC first, then by name."""
    names = zoneinfo.available_timezones() - {"localtime", "Factory", "posixrules"}
    return ("UTC", *sorted(names - {"UTC"}))


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises `ValueError` if there is none."""
    if name not in zone_names():
        raise ValueError(f"{name!r} is not a time zone. Use an IANA name such as Europe/Prague.")
    return ZoneInfo(name)


def validate_zone(name: str) -> None:
    """The model validator of the same rule."""
    try:
        zone(name)
    except ValueError as error:
        raise ValidationError(str(error), code="zone") from None
