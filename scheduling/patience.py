"""Doing again what the database refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, connection

from governance.errors import in_one_line

logger = logging.getLogger(__name__)
TRIES = 6
FIRST_PAUSE = 0.5
ResultT = TypeVar("ResultT")


def patiently(work: Callable[[], ResultT]) -> ResultT:
    """Do `work`, again after each database error, up to half a minute; then raise the last one."""
    for attempt in range(TRIES):
        try:
            return work()
        except Error as error:
            logger.warning("The database failed, trying again: %s", in_one_line(error))
            connection.close()
            time.sleep(FIRST_PAUSE * 2**attempt)
    return work()
