"""What a scheduled prompt can be told to do, and the limits of its numbers."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

MAX_PROMPT_LENGTH = 100_000
MAX_PARALLEL = 20
MAX_ATTEMPTS = 16
MAX_BACKOFF_SECONDS = 60
MAX_RUNTIME_SECONDS = 3600
DEFAULT_RUNTIME_SECONDS = 600
MAX_JITTER_SECONDS = 3600
MAX_CATCH_UP = 100
MAX_CATCH_UP_HOURS = 30 * 24


def between(low: int, high: int) -> list[MinValueValidator | MaxValueValidator]:
    """The validators of a number that is neither below `low` nor above `high`."""
    return [MinValueValidator(low), MaxValueValidator(high)]


class ScheduleKind(models.TextChoices):
    """How a job says when it runs."""

    CRON = "cron", "Cron expression"
    EVERY = "every", "Every so often"
    AT = "at", "Once, at a time"


class OverlapPolicy(models.TextChoices):
    """What becomes of a run that is due while another of the job has not ended."""

    FORBID = "forbid", "Skip it"
    QUEUE_ONE = "queue_one", "Let one wait"
    REPLACE = "replace", "Cancel the one under way"
    ALLOW = "allow", "Run beside it"


class MisfirePolicy(models.TextChoices):
    """What becomes of scheduled times at which no scheduler was running."""

    SKIP = "skip", "Skip them"
    RUN_ONCE = "run_once", "Run once for all"
    CATCH_UP = "catch_up", "Catch up"
    REVIEW = "review", "Ask a person"


class OutputFormat(models.TextChoices):
    """What the answer is to be."""

    TEXT = "text", "Text"
    JSON = "json", "JSON"
