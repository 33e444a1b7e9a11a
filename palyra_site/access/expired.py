"""Deleting counts of sign-ins and used codes that no longer matter.

Django deletes one only when its key is asked for again, and whoever guesses asks for ever new ones.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from palyra_site.access.cache import TABLE
from providers.forgetting import MOST_AT_ONCE, Forgotten, GoesOn

# Whatever counts anew meanwhile stays.
SOME_EXPIRED = f"""
DELETE FROM {TABLE} WHERE expires < %s AND cache_key IN (
    SELECT cache_key FROM {TABLE} WHERE expires < %s ORDER BY expires LIMIT {MOST_AT_ONCE}
)
"""  # noqa: S608 - all of it is written here


def forget_expired(now: datetime, goes_on: GoesOn) -> Forgotten:
    """Delete those that ended before `now`, little by little."""
    # As Django's cache writes it.
    before = connection.ops.adapt_datetimefield_value(now.replace(microsecond=0))
    rows = 0
    while goes_on():
        with connection.cursor() as cursor:
            cursor.execute(SOME_EXPIRED, [before, before])
            rows += cursor.rowcount
            if cursor.rowcount < MOST_AT_ONCE:
                return Forgotten(rows, finished=True)
    return Forgotten(rows, finished=False)
