"""Scheduled prompts as the JSON API reads and writes them."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Schema
from pydantic import Field, StrictBool, StrictInt

from governance.api.conventions import RowId
from governance.models import RoutingMode, TaskClass
from providers.api.conventions import (
    KEPT,
    Change,
    Input,
    Moment,
    MomentOrClockTime,
    described,
)
from providers.api.pages import PageQuery
from scheduling import jobs
from scheduling.deliveries import wishes_of
from scheduling.models import (
    CronJob,
    DeliverOn,
    MisfirePolicy,
    OutputFormat,
    OverlapPolicy,
    ScheduleKind,
)
from scheduling.previews import Preview

Kind = Annotated[str, described(ScheduleKind.values)]
Overlap = Annotated[str, described(OverlapPolicy.values)]
Misfire = Annotated[str, described(MisfirePolicy.values)]
Task = Annotated[str, described(TaskClass.values)]
Routing = Annotated[str, described(["", *RoutingMode.values])]
Format = Annotated[str, described(OutputFormat.values)]
Reason = Annotated[str, described(DeliverOn.values)]
JsonObject = dict[str, Any]

CRON = "Five fields: minute, hour, day of month, month, day of week."
AT = "When a job of kind “at” runs: with an offset, or as clocks in `zone` show it."
FROM = "Not before then: with an offset, or as clocks in `zone` show it."
UNTIL = "Not after then: with an offset, or as clocks in `zone` show it."
CALENDARS = "The identifiers of calendars on whose days it does not run."
JITTER = "Seconds over which its beginning is spread: the same for each scheduled time."
MOST_RUNS = "After so many scheduled runs it is finished; null for no limit."
OVERLAP = (
    "While another run is under way: “forbid” skips the later one, “queue_one” lets one wait, "
    "“replace” cancels the one under way, “allow” runs up to `max_parallel` beside each other."
)
MISFIRE = (
    "Of times at which no scheduler was running: “skip” none is made up for, “run_once” one run "
    "for all, “catch_up” the last `catch_up_limit` of `catch_up_hours`, “review” a person decides."
)
ATTEMPTS = "How often a run is tried, where its failure may pass."
BACKOFF = "Seconds before the second attempt, doubled for each further one."
UNCONFIRMED = "Try again even if the provider may have answered: it may be paid for twice."
LONGEST = "Seconds after which an attempt is given up."
EXPECTED = "Seconds; a run that takes longer is marked as slow."
PAUSE = "Pauses after so many failures in a row; null for never."
ROUTING = "What a recommendation of another model does to its runs. Empty: as the team is set."
PARAMETERS = "Values that the prompt’s template may use, by name."
SCHEMA = "The JSON schema that an answer in JSON must satisfy."


class RunDeliveryIn(Input):
    """A channel that is told of runs, and of which."""

    channel: RowId = Field(description="A channel's identifier.")
    on: Reason = DeliverOn.FAILURE.value


class RunDeliveryOut(Schema):
    """A channel that is told of runs, and of which."""

    channel: str
    on: DeliverOn


class TimingIn(Input):
    """When a prompt runs."""

    schedule_kind: Kind = ScheduleKind.CRON.value
    cron: str = Field("", description=CRON)
    every_seconds: StrictInt | None = None
    at: MomentOrClockTime | None = Field(None, description=AT)
    zone: str = Field("UTC", description="The IANA zone a cron expression is read in.")
    starts_at: MomentOrClockTime | None = Field(None, description=FROM)
    ends_at: MomentOrClockTime | None = Field(None, description=UNTIL)
    max_runs: StrictInt | None = Field(None, description=MOST_RUNS)
    calendars: list[RowId] = Field(default_factory=list, description=CALENDARS)
    jitter_seconds: StrictInt = Field(0, description=JITTER)


class JobIn(TimingIn):
    """A new scheduled prompt. A name, a prompt and a time are enough."""

    team: str | None = Field(None, description="A team's slug; your only team if left out.")
    name: str
    prompt: str
    system_prompt: str = ""
    model: str = Field("auto", description="“auto” lets Palyra choose.")
    max_output_tokens: StrictInt | None = None
    overlap: Overlap = Field(OverlapPolicy.FORBID.value, description=OVERLAP)
    max_parallel: StrictInt = 2
    misfire: Misfire = Field(MisfirePolicy.RUN_ONCE.value, description=MISFIRE)
    catch_up_limit: StrictInt = 3
    catch_up_hours: StrictInt = 24
    max_attempts: StrictInt = Field(1, description=ATTEMPTS)
    backoff_seconds: StrictInt = Field(10, description=BACKOFF)
    retry_unconfirmed: StrictBool = Field(False, description=UNCONFIRMED)
    max_runtime_seconds: StrictInt = Field(600, description=LONGEST)
    expected_seconds: StrictInt | None = Field(None, description=EXPECTED)
    pause_after_failures: StrictInt | None = Field(None, description=PAUSE)
    task_class: Task = TaskClass.BACKGROUND_AUTOMATION.value
    routing_mode: Routing = Field("", description=ROUTING)
    parameters: JsonObject = Field(default_factory=dict, description=PARAMETERS)
    output_format: Format = OutputFormat.TEXT.value
    output_schema: JsonObject | None = Field(None, description=SCHEMA)
    deliveries: list[RunDeliveryIn] = Field(default_factory=list)


class JobChange(Change):
    """What to change of a scheduled prompt. Its times are worked out anew from now."""

    name: str = KEPT
    schedule_kind: Kind = KEPT
    cron: str = Field(KEPT, description=CRON)
    every_seconds: StrictInt | None = KEPT
    at: MomentOrClockTime | None = Field(KEPT, description=AT)
    zone: str = KEPT
    starts_at: MomentOrClockTime | None = Field(KEPT, description=FROM)
    ends_at: MomentOrClockTime | None = Field(KEPT, description=UNTIL)
    max_runs: StrictInt | None = Field(KEPT, description=MOST_RUNS)
    calendars: list[RowId] = Field(KEPT, description=CALENDARS)
    jitter_seconds: StrictInt = Field(KEPT, description=JITTER)
    prompt: str = KEPT
    system_prompt: str = KEPT
    model: str = KEPT
    max_output_tokens: StrictInt | None = KEPT
    overlap: Overlap = Field(KEPT, description=OVERLAP)
    max_parallel: StrictInt = KEPT
    misfire: Misfire = Field(KEPT, description=MISFIRE)
    catch_up_limit: StrictInt = KEPT
    catch_up_hours: StrictInt = KEPT
    max_attempts: StrictInt = Field(KEPT, description=ATTEMPTS)
    backoff_seconds: StrictInt = Field(KEPT, description=BACKOFF)
    retry_unconfirmed: StrictBool = Field(KEPT, description=UNCONFIRMED)
    max_runtime_seconds: StrictInt = Field(KEPT, description=LONGEST)
    expected_seconds: StrictInt | None = Field(KEPT, description=EXPECTED)
    pause_after_failures: StrictInt | None = Field(KEPT, description=PAUSE)
    task_class: Task = KEPT
    routing_mode: Routing = Field(KEPT, description=ROUTING)
    parameters: JsonObject = Field(KEPT, description=PARAMETERS)
    output_format: Format = KEPT
    output_schema: JsonObject | None = Field(KEPT, description=SCHEMA)
    deliveries: list[RunDeliveryIn] = KEPT


class PauseIn(Input):
    """Why a job is paused."""

    reason: str = Field(description="Shown until it is resumed.")


class ParametersIn(Input):
    """With which parameters a job is run or rehearsed this once."""

    parameters: JsonObject | None = Field(
        None, description="They take the place of the job's own of the same names."
    )


class ReviewIn(Input):
    """What becomes of the times that a job missed."""

    decision: Annotated[str, described(["skip", "run_once", "replay_all"])] = Field(
        description="“skip” none is made up for, “run_once” one run makes up for all, "
        "“replay_all” each runs."
    )


class ReviewOut(Schema):
    """What came of the decision."""

    queued: int = Field(description="How many runs were queued.")


class RehearsalOut(Schema):
    """What would be sent, and an answer that no model gave."""

    system_prompt: str
    prompt: str
    output: str
    faults: list[str] = Field(description="Why it could not be sent; empty if it could.")


class JobQuery(PageQuery):
    """Which scheduled prompts."""

    team: str | None = Field(None, description="A team's slug.")
    needs_review: bool | None = Field(
        None, description="Only those with missed times to decide on, or only those without."
    )


class UpcomingOut(Schema):
    """A scheduled time to come."""

    slot: Moment = Field(description="The scheduled time.")
    due_at: Moment = Field(description="When it begins: later by the jitter.")
    shifted: bool = Field(description="Clocks skip the time asked for; this is the next one.")
    repeated: bool = Field(description="Clocks show the time for the second time.")


class PreviewOut(Schema):
    """A schedule in words, and when it would run next."""

    sentence: str
    times: list[Moment]
    upcoming: list[UpcomingOut] = Field(description="The same times with what is unusual of each.")

    @classmethod
    def of(cls, preview: Preview) -> PreviewOut:
        upcoming = [
            UpcomingOut(
                slot=time.slot, due_at=time.due_at, shifted=time.shifted, repeated=time.repeated
            )
            for time in preview.times
        ]
        times = [time.slot for time in preview.times]
        return cls(sentence=preview.sentence, times=times, upcoming=upcoming)


class JobOut(Schema):
    """A scheduled prompt."""

    id: str
    team: str
    name: str
    schedule_kind: Kind
    cron: str
    every_seconds: int | None
    at: Moment | None
    zone: str
    starts_at: Moment | None
    ends_at: Moment | None
    max_runs: int | None
    calendars: list[str] = Field(description=CALENDARS)
    jitter_seconds: int
    sentence: str = Field(description="The schedule in words.")
    next_slot: Moment | None = Field(description="When it runs next; null if it will not.")
    due_at: Moment | None = Field(description="When that begins: later by the jitter.")
    prompt: str
    system_prompt: str
    model: str
    max_output_tokens: int | None
    overlap: OverlapPolicy
    max_parallel: int
    misfire: MisfirePolicy
    catch_up_limit: int
    catch_up_hours: int
    max_attempts: int
    backoff_seconds: int
    retry_unconfirmed: bool
    max_runtime_seconds: int
    expected_seconds: int | None
    pause_after_failures: int | None
    task_class: TaskClass
    routing_mode: Routing = Field(description=ROUTING)
    parameters: JsonObject
    output_format: OutputFormat
    output_schema: JsonObject | None
    deliveries: list[RunDeliveryOut]
    enabled: bool = Field(description="false while it is paused.")
    paused_reason: str
    last_error: str
    run_count: int = Field(description="Scheduled runs begun so far.")
    failures_in_a_row: int
    created_by: str | None
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, job: CronJob) -> JobOut:
        told = {name: getattr(job, name) for name in cls.model_fields if name not in _WORKED_OUT}
        wishes = [
            RunDeliveryOut(channel=str(wish.channel_id), on=DeliverOn(wish.on))
            for wish in wishes_of(job)
        ]
        return cls(
            id=str(job.pk),
            team=job.team.slug,
            sentence=jobs.sentence(job),
            calendars=[str(calendar.pk) for calendar in job.calendars.all()],
            deliveries=wishes,
            created_by=job.created_by.get_username() if job.created_by else None,
            **told,
        )


_WORKED_OUT = frozenset({"id", "team", "sentence", "calendars", "deliveries", "created_by"})
