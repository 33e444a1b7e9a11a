"""What each policy of a scheduled prompt means, and what a job's come to, in words."""

from __future__ import annotations

from collections.abc import Iterator

from governance.zones import zone as named_zone
from providers.display import duration, moment_text
from scheduling.deliveries import wishes_of
from scheduling.models import (
    CronJob,
    DeliverOn,
    MisfirePolicy,
    OutputFormat,
    OverlapPolicy,
)

OVERLAP = {
    OverlapPolicy.FORBID: "the later one is left out, and the list of runs says so.",
    OverlapPolicy.QUEUE_ONE: "the later one begins as soon as the other has ended; any beyond that "
    "one is left out.",
    OverlapPolicy.REPLACE: "it is stopped, at the provider as well, and the later one begins.",
    OverlapPolicy.ALLOW: "both go on, up to the number of runs at once; what is beyond that is "
    "left out.",
}
MISFIRE = {
    MisfirePolicy.SKIP: "they are listed as missed and not made up for.",
    MisfirePolicy.RUN_ONCE: "it runs once, late, however many times were missed.",
    MisfirePolicy.CATCH_UP: "the latest of them run one after another, within two bounds.",
    MisfirePolicy.REVIEW: "they are listed until somebody says what becomes of them: skip them, "
    "run once, or replay all.",
}
OUTPUT_FORMAT = {
    OutputFormat.TEXT: "the answer is kept as it comes.",
    OutputFormat.JSON: "the model is asked for JSON; an answer that is none, or does not satisfy "
    "the schema, is a failure.",
}
DELIVER_ON = {
    DeliverOn.SUCCESS: "succeeds",
    DeliverOn.FAILURE: "fails in any way",
    DeliverOn.CHANGE: "answers something else than the one before",
    DeliverOn.ALWAYS: "ends, however it does",
}
# For each decision on missed times, what the button says and what it does.
DECISIONS = (
    ("skip", "Skip them", "None is made up for."),
    ("run_once", "Run once", "One run makes up for all of them."),
    ("replay_all", "Replay all", "Each runs, the earliest first, and is paid for."),
)


def policy_facts(job: CronJob) -> list[tuple[str, str]]:
    """What a job's policies come to: what each is about, and what it says. What leaves things as
    they usually are is not mentioned."""
    return [
        *_when(job),
        ("While another runs", _overlap(job)),
        ("Missed times", _misfire(job)),
        ("Attempts", _attempts(job)),
        *_bounds(job),
        *_answer(job),
        *_told(job),
    ]


def _when(job: CronJob) -> Iterator[tuple[str, str]]:
    where = named_zone(job.zone)
    if job.starts_at:
        yield "Not before", moment_text(job.starts_at, where)
    if job.ends_at:
        yield "Not after", moment_text(job.ends_at, where)
    if job.max_runs:
        yield "Runs in all", f"{job.run_count:,} of {job.max_runs:,} so far"
    if names := ", ".join(calendar.name for calendar in job.calendars.all()):
        yield "Not on the days of", names
    if job.jitter_seconds:
        yield "Beginning", f"spread over {duration(job.jitter_seconds)}"


def _overlap(job: CronJob) -> str:
    if job.overlap == OverlapPolicy.ALLOW:
        return f"Up to {job.max_parallel} run beside each other"
    return str(job.get_overlap_display())


def _misfire(job: CronJob) -> str:
    if job.misfire == MisfirePolicy.CATCH_UP:
        return f"Catch up with {job.catch_up_limit} at most, of the last {job.catch_up_hours} hours"
    return str(job.get_misfire_display())


def _attempts(job: CronJob) -> str:
    if job.max_attempts == 1:
        return "One"
    unsure = ", also if the provider may have answered" if job.retry_unconfirmed else ""
    return f"Up to {job.max_attempts}, {duration(job.backoff_seconds)} before the second{unsure}"


def _bounds(job: CronJob) -> Iterator[tuple[str, str]]:
    yield "Longest run", duration(job.max_runtime_seconds)
    if job.expected_seconds:
        yield "Slow beyond", duration(job.expected_seconds)
    if job.pause_after_failures:
        so_far = f", {job.failures_in_a_row} so far" if job.failures_in_a_row else ""
        yield "Paused after", f"{_failures(job.pause_after_failures)}{so_far}"


def _failures(count: int) -> str:
    return "a failure" if count == 1 else f"{count:,} failures in a row"


def _answer(job: CronJob) -> Iterator[tuple[str, str]]:
    if job.output_format == OutputFormat.JSON:
        yield "Answer", "JSON that satisfies a schema" if job.output_schema else "JSON"
    default = CronJob._meta.get_field("task_class").default
    if job.task_class != default:
        yield "Kind of task", str(job.get_task_class_display())
    if job.routing_mode:
        yield "Routing", str(job.get_routing_mode_display())
    if job.parameters:
        yield "Parameters", ", ".join(job.parameters)


def _told(job: CronJob) -> Iterator[tuple[str, str]]:
    wishes = [(wish.channel.name, DELIVER_ON[DeliverOn(wish.on)]) for wish in wishes_of(job)]
    if wishes:
        yield "Told", "; ".join(f"{name} if a run {when}" for name, when in wishes)
