"""What was used, summed by the hour: kept in the same commit as the settlements it sums."""

from __future__ import annotations

from django.db import models


class _Sums(models.Model):
    """Sums over calls; amounts are nano-dollars.

    A call is counted when it is settled, in the hour it was admitted. `unpriced` counts those whose
    cost is not known. `savings` is what the recommended model would have saved in dry runs, and
    `saved` what the models chosen saved against the default where routing is enforced; both may be
    negative.
    """

    calls = models.BigIntegerField(default=0)
    succeeded = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    cancelled = models.BigIntegerField(default=0)
    blocked = models.BigIntegerField(default=0)
    denied = models.BigIntegerField(default=0)
    unconfirmed = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0)
    cached = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    uncached_input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost = models.BigIntegerField(default=0)
    overrun = models.BigIntegerField(default=0)
    savings = models.BigIntegerField(default=0)
    saved = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


# Everything that reports break down by.
DIMENSIONS = (
    "team_id",
    "api_key_id",
    "user_id",
    "job",
    "provider",
    "model",
    "task_class",
    "routing_mode",
)


class _SumsByDimension(_Sums):
    """Nothing is written as 0 or as empty text: a database compares no NULLs."""

    team_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField(default=0)
    user_id = models.BigIntegerField(default=0)
    job = models.CharField(max_length=36, blank=True, default="")
    provider = models.CharField(max_length=50, blank=True, default="")
    model = models.CharField(max_length=200, blank=True, default="")
    task_class = models.CharField(max_length=32)
    routing_mode = models.CharField(max_length=16)

    class Meta:
        abstract = True


class UsageHour(_SumsByDimension):
    """The calls of one hour that share everything reports break down by."""

    hour = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", *DIMENSIONS], name="usage_hour_once")
        ]
        indexes = [models.Index(fields=["team_id", "hour"], name="usage_hour_by_team")]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} in the hour from {self.hour:%Y-%m-%d %H:%M}"


class UsageDay(_SumsByDimension):
    """The hours of one day of UTC together: far fewer rows, which long reports read."""

    day = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["day", *DIMENSIONS], name="usage_day_once")]
        indexes = [models.Index(fields=["team_id", "day"], name="usage_day_by_team")]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} on {self.day:%Y-%m-%d}"


class UsageSession(_Sums):
    """All calls of one session of one team."""

    team_id = models.BigIntegerField()
    session = models.CharField(max_length=128)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team_id", "session"], name="usage_session_once")
        ]

    def __str__(self) -> str:
        return self.session


class LatencyHour(models.Model):
    """How long answered calls of one hour took: one row for each bucket of the histogram.

    `failure_class` is empty for those that succeeded. `bucket` is the index that
    `providers.histogram` gives the milliseconds.
    """

    hour = models.DateTimeField()
    team_id = models.BigIntegerField()
    provider = models.CharField(max_length=50, blank=True, default="")
    model = models.CharField(max_length=200, blank=True, default="")
    failure_class = models.CharField(max_length=32, blank=True, default="")
    bucket = models.SmallIntegerField()
    calls = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "team_id", "provider", "model", "failure_class", "bucket"],
                name="latency_hour_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} in the hour from {self.hour:%Y-%m-%d %H:%M}"
