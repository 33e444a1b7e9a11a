"""What `palyra cron` says to people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from uuid import UUID
from zoneinfo import ZoneInfo

from governance.money import dollars_text
from providers.display import NOTHING, distance, duration
from providers.tables import aligned
from scheduling import jobs
from scheduling.display import JOB_STATES, job_state, lag, run_notes, slot_text, took, zone_of
from scheduling.handling import DECISIONS
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus
from scheduling.policy_words import policy_facts
from scheduling.previews import Preview
from scheduling.run_story import Attempt, Review, attempts_of, cancelled_words
from scheduling.schedule import Upcoming
from scheduling.standing import MOST_SHOWN, Standing
from scheduling.trials import Rehearsal

LONGEST_REASON = 80
# What a terminal takes for commands: a model's words are to be seen and not obeyed.
COMMANDS = dict.fromkeys(
    {*range(0x20), *range(0x7F, 0xA0)} - set(b"\t\n"), "\N{REPLACEMENT CHARACTER}"
)
STATUSES = {str(status.value): str(status.label).lower() for status in RunStatus}


def harmless(said: str) -> str:
    """The same without what a terminal would take for commands."""
    return said.translate(COMMANDS)


def label(job: CronJob) -> str:
    """The job as a command line names it."""
    return f"{job.team.slug}/{job.name}"


def status(found: Standing, now: datetime) -> str:
    """How scheduling stands."""
    return "\n".join(
        [
            *_processes(found, now),
            "",
            _jobs_line(found, now),
            _runs_line(found, now),
            *_review_lines(found.to_review),
            *_set_aside_lines(found.set_aside, now),
            *_failure_lines(found.failures, now),
        ]
    )


def _processes(found: Standing, now: datetime) -> list[str]:
    rows = [
        (one.role, one.host, one.pid, duration((now - one.started_at).total_seconds()))
        for one in found.processes
    ]
    if not rows:
        return ["No process is alive. Start one with `palyra up`."]
    return [aligned(("PROCESS", "HOST", "PID", "UP FOR"), rows)]


def _jobs_line(found: Standing, now: datetime) -> str:
    following = (
        "" if found.next_due is None else f"; the next is due {distance(found.next_due, now)}"
    )
    return (
        f"Scheduled prompts: {found.enabled:,} enabled, {found.paused:,} paused, {found.due:,} due"
        f"{following}."
    )


def _runs_line(found: Standing, now: datetime) -> str:
    counts = [f"{count:,} {STATUSES[status]}" for status, count in found.runs.items()]
    if not counts:
        return "Runs: none is queued or under way."
    since = (
        ""
        if found.queued_since is None
        else f"; the oldest was queued {distance(found.queued_since, now)}"
    )
    return f"Runs: {', '.join(counts)}{since}."


def _review_lines(to_review: Sequence[tuple[CronJob, int]]) -> list[str]:
    lines = [f"  {label(job)}: {count:,}" for job, count in to_review[:MOST_SHOWN]]
    if len(to_review) > MOST_SHOWN:
        lines.append(f"  and {len(to_review) - MOST_SHOWN:,} more")
    return ["", "Missed times to decide on (palyra cron review):", *lines] if lines else []


def _set_aside_lines(found: Sequence[CronJob], now: datetime) -> list[str]:
    lines = [
        f"  {label(job)}: {job.last_error} Tried again {distance(job.retry_at, now)}."
        for job in found
        if job.retry_at
    ]
    return ["", "Set aside, because they could not be begun:", *lines] if lines else []


def _failure_lines(found: Sequence[CronRun], now: datetime) -> list[str]:
    lines = [
        f"  {label(run.job)}, {distance(run.slot, now)}: {STATUSES[run.status]}. {run.reason}"
        for run in found
    ]
    return ["", "What went wrong since yesterday:", *lines] if lines else []


def job_list(rows: Iterable[CronJob], latest: Mapping[UUID, CronRun], more: int) -> str:
    """Every job, in a line; `latest` is the latest run by job."""
    cells = [
        (
            label(job),
            JOB_STATES[job_state(job)][0].lower(),
            slot_text(job.next_slot, zone_of(job)) if job.next_slot else None,
            _last(latest.get(job.pk)),
            jobs.sentence(job),
        )
        for job in rows
    ]
    if not cells:
        return "No scheduled prompt. `palyra cron add TEAM/NAME` makes one."
    table = aligned(("JOB", "STATE", "NEXT", "LAST RUN", "SCHEDULE"), cells)
    return f"{table}\nAnd {more:,} more; --limit shows them." if more else table


def one_job(job: CronJob, coming: Sequence[Upcoming], review: Review | None) -> str:
    """All of one job."""
    facts = [
        ("Job", label(job)),
        ("Identifier", job.pk),
        ("State", _state(job)),
        ("Schedule", jobs.sentence(job)),
        *policy_facts(job),
        ("Model", job.model),
        ("Most output tokens", job.max_output_tokens),
        ("Runs so far", job.run_count),
        ("Failures in a row", job.failures_in_a_row),
        ("Could not be begun", job.last_error),
        ("Missed times to decide on", review.count if review else None),
    ]
    lines = [_fact(name, value) for name, value in facts if value not in (None, "", 0)]
    return "\n".join(
        [
            *lines,
            *_block("System prompt", job.system_prompt),
            *_block("Prompt", job.prompt),
            *_block("Parameters", _json(job.parameters) if job.parameters else ""),
            *_block("Schema", _json(job.output_schema) if job.output_schema else ""),
            *_block("Next", times(coming, [job.zone])),
        ]
    )


def _state(job: CronJob) -> str:
    state = JOB_STATES[job_state(job)][0].lower()
    return f"{state}: {job.paused_reason}" if job.paused_reason else state


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def changed(job: CronJob, what: str) -> str:
    """What a job is now."""
    following = slot_text(job.next_slot, zone_of(job)) if job.next_slot else "none to come"
    return f"{what} {label(job)} ({job.pk}). {jobs.sentence(job)}. Next: {following}."


def begun(run: CronRun) -> str:
    """What came of running a job now, so far."""
    if run.status in ACTIVE:
        return f"Run {run.pk} is {STATUSES[run.status]}."
    return one_run(run)


def cancelled(done: Sequence[CronRun]) -> str:
    """What came of cancelling."""
    return "\n".join(cancelled_words(run, f"Run {run.pk}") for run in done)


def to_review(job: CronJob, found: Review | None) -> str:
    """The missed times that a person is to decide on."""
    if found is None:
        return f"No missed time of {label(job)} is to be decided on."
    lines = [f"  {second_text(run.slot, zone_of(job))}: {run.reason}" for run in found.latest]
    if found.more:
        lines.append(f"  and {found.more:,} before these")
    decisions = " | ".join(DECISIONS)
    return "\n".join(
        [
            f"{label(job)} missed {found.count:,}, to be decided on:",
            *lines,
            f"Decide: palyra cron review {job.pk} {decisions}",
        ]
    )


def _last(run: CronRun | None) -> str | None:
    return None if run is None else STATUSES[run.status]


def runs(rows: Sequence[CronRun], *, whose: bool, outputs: bool) -> str:
    """Runs, the latest first: a line for each, or with what was answered. `whose` names the job."""
    if not rows:
        return "No run."
    if outputs:
        return "\n\n".join(one_run(run) for run in rows)
    cells = [
        (
            run.pk,
            *([label(run.job)] if whose else []),
            second_text(run.slot, zone_of(run.job)),
            STATUSES[run.status],
            _seconds(lag(run)),
            _seconds(took(run)),
            run.model,
            _cost(run),
            _shortened(run.reason),
        )
        for run in rows
    ]
    headings = ("RUN", *(["JOB"] if whose else []), "SCHEDULED", "STATUS", "LAG", "TOOK", "MODEL")
    return aligned((*headings, "COST", "WHY"), cells)


def one_run(run: CronRun) -> str:
    """All of one run."""
    facts = [
        ("Run", run.pk),
        ("Job", label(run.job)),
        ("Scheduled", second_text(run.slot, zone_of(run.job))),
        ("Status", ", ".join([STATUSES[run.status], *run_notes(run)])),
        ("Why", run.reason),
        ("Began after", _seconds(lag(run))),
        ("Took", _seconds(took(run))),
        ("Model", run.model),
        ("Why this one", run.explanation),
        ("Tokens", _tokens(run)),
        ("Cost", _cost(run)),
        ("Call", run.call_id),
        ("Missed before", run.missed_before),
    ]
    lines = [_fact(name, value) for name, value in facts if value not in (None, "", 0)]
    lines += [f"  {_attempt(one)}" for one in attempts_of(run)]
    return "\n".join([*lines, *_block("Asked", run.asked), *_block("Answered", run.output)])


def _attempt(one: Attempt) -> str:
    return f"Attempt {one.number}: {one.status_words.lower()}. {one.reason}".rstrip()


def _tokens(run: CronRun) -> str | None:
    if run.input_tokens is None or run.output_tokens is None:
        return None
    return f"{run.input_tokens:,} in, {run.output_tokens:,} out"


def rehearsal(found: Rehearsal) -> str:
    """What would be asked, and an answer that no model gave."""
    blocks = [
        *_block("System prompt", found.system_prompt),
        *_block("Prompt", found.prompt),
        *_block("An answer made up, for nothing was sent", found.output),
    ]
    return "\n".join(blocks).strip() or "Nothing would be sent."


def preview(found: Preview, zones: Sequence[str]) -> str:
    """A schedule in words, and its next times as clocks in each of the zones show them."""
    lines = [found.sentence, times(found.times, zones)]
    if found.spread_seconds:
        lines.append(f"Each begins up to {duration(found.spread_seconds)} later.")
    return "\n".join(lines)


def times(found: Sequence[Upcoming], zones: Sequence[str]) -> str:
    """Scheduled times to come, with what is unusual about each."""
    if not found:
        return "It has no time to come."
    rows = [
        (*(second_text(one.slot, ZoneInfo(zone)) for zone in zones), "; ".join(_marks(one)))
        for one in found
    ]
    return aligned((*zones, "NOTE"), rows)


def _marks(one: Upcoming) -> list[str]:
    marks = []
    if one.shifted:
        marks.append("moved: clocks skip the time asked for")
    if one.repeated:
        marks.append("clocks show it for the second time")
    if one.due_at != one.slot:
        marks.append(f"begins {duration((one.due_at - one.slot).total_seconds())} later")
    return marks


def second_text(value: datetime, zone: tzinfo) -> str:
    """A time to the second, with its zone."""
    local = value.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local:%Z}"


def _block(title: str, text: str) -> list[str]:
    return ["", f"{title}:", text] if text else []


def _fact(name: str, value: object) -> str:
    return f"{name}: {value}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else duration(max(0.0, value))


def _cost(run: CronRun) -> str:
    return NOTHING if run.cost is None else dollars_text(run.cost)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
