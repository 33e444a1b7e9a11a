"""`palyra cron`: scheduled prompts from the command line.

Exit status: 0 all is well, 1 something is wrong, 2 the command cannot be understood.
"""

from __future__ import annotations

import json
import re
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from django.db import transaction
from django.utils import timezone

from governance.zones import zone
from scheduling import handling, jobs, previews, trials
from scheduling.api.run_schemas import RunOut
from scheduling.api.schemas import JobOut, PreviewOut
from scheduling.management import cron_finding as finding
from scheduling.management import cron_options as given
from scheduling.management import cron_text as text
from scheduling.management.cron_arguments import add_arguments
from scheduling.management.cron_finding import NotFound
from scheduling.management.cron_status import status_json
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.run_story import decided, reviewable
from scheduling.standing import WORKER, is_alive, standing

WRONG, USAGE = 1, 2
LOOK_EVERY = 0.2
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
NO_TEXT = "Something that was typed is no text in UTF-8."
NOT_ENDED = (RunStatus.QUEUED, RunStatus.RUNNING)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a subcommand found, for programs and for people; `fault` is what is wrong, in a line."""

    content: Any
    text: str
    fault: str = ""


class _Unwanted(Exception):
    """Undoes what was written although something else that was given is wrong."""


class Command(BaseCommand):
    """Look at scheduled prompts and their runs, make and change them, run and rehearse them."""

    help = "Look at scheduled prompts and their runs; make, change, run and rehearse them."

    # They read the whole site, which this command never serves.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, wants: str, **options: Any) -> None:
        subcommand: Callable[..., Answer] = getattr(self, f"_{wants.replace('-', '_')}")
        if not all(map(_is_text, options.values())):
            raise CommandError(NO_TEXT, returncode=USAGE)
        try:
            answer = subcommand(options)
        except NotFound as error:
            raise CommandError(str(error), returncode=USAGE) from None
        except ValidationError as error:
            raise CommandError(_said(_by_field(error)), returncode=WRONG) from None
        except DatabaseFailure as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"The database cannot be read or written: {reason}") from None
        in_json = json.dumps(answer.content, indent=2, ensure_ascii=False)
        self.stdout.write(in_json if options["json"] else text.harmless(answer.text))
        if answer.fault:
            raise CommandError(text.harmless(answer.fault), returncode=WRONG)

    def _status(self, _options: dict[str, Any]) -> Answer:
        now = timezone.now()
        found = standing(now)
        return Answer(status_json(found), text.status(found, now), " ".join(found.faults))

    def _list(self, options: dict[str, Any]) -> Answer:
        rows = finding.jobs_listed(team=options["team"], state=options["state"])
        shown = list(rows[: options["limit"]])
        more = rows.count() - len(shown) if len(shown) == options["limit"] else 0
        content = [_job_json(job) for job in shown]
        return Answer(content, text.job_list(shown, finding.latest_runs(shown), more))

    def _show(self, options: dict[str, Any]) -> Answer:
        job = finding.job_named(options["job"])
        times = previews.next_times(job, timezone.now())
        return Answer(_job_json(job), text.one_job(job, times, reviewable(job)))

    def _add(self, options: dict[str, Any]) -> Answer:
        fields = given.read_fields(options)
        try:
            team, fields.changes["name"] = finding.team_and_name(options["job"])
        except NotFound as fault:
            fields.faults["team"] = [str(fault)]
            raise CommandError(_said(fields.faults), returncode=WRONG) from None
        if not fields.is_timed:
            fields.faults["schedule_kind"] = [given.WHEN]
        given.read_companions(fields, options, team, {})
        now = timezone.now()
        job = _written(fields, lambda **values: jobs.create_job(team=team, now=now, **values))
        return Answer(_job_json(job), text.changed(job, "Added"))

    def _update(self, options: dict[str, Any]) -> Answer:
        job, fields = finding.job_named(options["job"]), given.read_fields(options)
        given.read_companions(fields, options, job.team, job.parameters)
        if not fields.changes and not fields.faults:
            raise CommandError("Say what is to be changed.", returncode=USAGE)
        now = timezone.now()
        job = _written(fields, lambda **values: jobs.update_job(job, now=now, **values))
        return Answer(_job_json(job), text.changed(job, "Changed"))

    def _enable(self, options: dict[str, Any]) -> Answer:
        job = jobs.resume(finding.job_named(options["job"]), now=timezone.now())
        return Answer(_job_json(job), text.changed(job, "Enabled"))

    def _disable(self, options: dict[str, Any]) -> Answer:
        job = finding.job_named(options["job"])
        jobs.pause(job, reason=options["reason"], now=timezone.now())
        return Answer(_job_json(job), f"{text.label(job)} does not run until it is enabled.")

    def _run_now(self, options: dict[str, Any]) -> Answer:
        job, values = finding.job_named(options["job"]), given.Given()
        values.take("parameters", lambda: given.read_parameters(options))
        if values.faults:
            raise CommandError(_said(values.faults), returncode=WRONG)
        run = handling.run_now(job, now=timezone.now(), **values.changes)
        if options["wait"] and is_alive(WORKER):
            run = _awaited(run, options["timeout"])
        fault = _outcome(run, options["timeout"]) if options["wait"] else ""
        return Answer(_run_json(run), text.begun(run), fault)

    def _cancel(self, options: dict[str, Any]) -> Answer:
        done = _cancelled(options["job"], options["reason"])
        return Answer([_run_json(run) for run in done], text.cancelled(done))

    def _review(self, options: dict[str, Any]) -> Answer:
        job, decision = finding.job_named(options["job"]), options["decision"]
        if decision is None:
            found = reviewable(job)
            latest = found.latest if found else []
            return Answer([_run_json(run) for run in latest], text.to_review(job, found))
        queued = handling.review(job, decision=decision, now=timezone.now())
        return Answer({"queued": queued}, decided(decision, queued))

    def _delete(self, options: dict[str, Any]) -> Answer:
        job = finding.job_named(options["job"])
        said = f"{text.label(job)} is deleted."
        jobs.delete(job)
        return Answer({"id": str(job.pk), "deleted": True}, said)

    def _logs(self, options: dict[str, Any]) -> Answer:
        named = options["job"]
        run = finding.run_with(named) if named else None
        if run is not None:
            return Answer([_run_json(run)], text.one_run(run))
        job = finding.job_named(named) if named else None
        rows = finding.runs_listed(job, options["status"])
        if not (options["output"] or options["json"]):
            rows = rows.defer("output", "asked")
        shown = list(rows[: options["limit"]])
        said = text.runs(shown, whose=job is None, outputs=options["output"])
        return Answer([_run_json(run) for run in shown] if options["json"] else None, said)

    def _preview(self, options: dict[str, Any]) -> Answer:
        job = finding.job_named(options["job"]) if options["job"] else None
        fields = given.read_fields(options)
        if job is None and not fields.is_timed:
            fields.faults["schedule_kind"] = [given.WHEN]
        if options["calendar"]:
            team = job.team if job else None
            fields.take("calendars", lambda: given.read_calendars(options, team))
        fields.take("zones", lambda: [zone(name).key for name in options["zones"] or ()])
        zones = fields.changes.pop("zones", [])
        count = options["count"]
        found = _checked(fields, lambda **values: _previewed(job, values, count))
        where = fields.changes.get("zone") or (job.zone if job else "UTC")
        said = text.preview(found, list(dict.fromkeys([where, *zones])))
        return Answer(PreviewOut.of(found).model_dump(mode="json"), said)

    def _rehearse(self, options: dict[str, Any]) -> Answer:
        job = finding.job_named(options["job"])
        try:
            parameters = given.read_parameters(options)
        except ValueError as fault:
            raise CommandError(f"--parameter: {fault}", returncode=WRONG) from None
        found = trials.rehearse(job, parameters, timezone.now())
        content = {
            "system_prompt": found.system_prompt,
            "prompt": found.prompt,
            "output": found.output,
            "faults": list(found.faults),
        }
        return Answer(content, text.rehearsal(found), "\n".join(found.faults))


def _is_text(given: Any) -> bool:
    """Whether what was given can be written in UTF-8; other bytes come in as half surrogates."""
    if isinstance(given, list):
        return all(map(_is_text, given))
    return not isinstance(given, str) or LONE_SURROGATE.search(given) is None


def _job_json(job: CronJob) -> Any:
    return JobOut.of(job).model_dump(mode="json")


def _run_json(run: CronRun) -> Any:
    return RunOut.of(run).model_dump(mode="json")


def _written(fields: given.Given, write: Callable[..., CronJob]) -> CronJob:
    """What `write` makes of the fields; all that is wrong at once, and nothing stored then."""

    def attempt(**values: Any) -> CronJob:
        with transaction.atomic():
            job = write(**values)
            if fields.faults:
                raise _Unwanted
        return job

    return _checked(fields, attempt)


def _checked(fields: given.Given, use: Callable[..., Found]) -> Found:
    """What `use` makes of the fields, or all that is wrong with them and with what was given."""
    faults = dict(fields.faults)
    try:
        found = use(**{name: one for name, one in fields.changes.items() if name not in faults})
    except _Unwanted:
        pass
    except ValidationError as error:
        for name, said in _by_field(error).items():
            faults.setdefault(name, said)
    if faults:
        raise CommandError(_said(faults), returncode=WRONG)
    return found


def _previewed(job: CronJob | None, changes: Mapping[str, Any], count: int) -> previews.Preview:
    kept = {}
    if job is not None:
        kept = {name: getattr(job, name) for name in ("schedule_kind", *given.TIMING)}
        kept["calendars"] = list(job.calendars.all())
    if "schedule_kind" in changes:
        kept |= jobs.EMPTY
    values = {"schedule_kind": "", **kept, **changes}
    return previews.preview(**values, job=job, now=timezone.now(), count=count)


def _cancelled(named: str, reason: str) -> list[CronRun]:
    now, run = timezone.now(), finding.run_with(named)
    if run is not None:
        return [handling.cancel(run, now=now, reason=reason)]
    found = handling.cancel_all(finding.job_named(named), now=now, reason=reason)
    if not found:
        raise CommandError("No run of it is queued or under way.", returncode=WRONG)
    return found


def _awaited(run: CronRun, seconds: float) -> CronRun:
    """The run as it has ended, or stands after so many seconds."""
    until = time.monotonic() + seconds
    while run.status in NOT_ENDED and time.monotonic() < until:
        time.sleep(LOOK_EVERY)
        run.refresh_from_db()
    return run


def _outcome(run: CronRun, seconds: int) -> str:
    """What is wrong with how a run ended; nothing if it succeeded."""
    if run.status == RunStatus.SUCCEEDED:
        return ""
    if run.status not in NOT_ENDED:
        return f"It ended as {run.get_status_display().lower()}. {run.reason}".strip()
    if not is_alive(WORKER):
        return "No worker is running, so it was not waited for. It stays queued."
    return f"It has not ended in {seconds:,} s. See: palyra cron logs {run.pk}"


def _by_field(error: ValidationError) -> dict[str, list[str]]:
    if hasattr(error, "error_dict"):
        return dict(error.message_dict)
    return {NON_FIELD_ERRORS: list(error.messages)}


def _said(faults: Mapping[str, Iterable[str]]) -> str:
    """Each fault in a line, with the option that it is about."""
    lines = []
    for name, sentences in faults.items():
        flag = given.flag_of(name)
        lines += [f"{flag}: {sentence}" if flag else sentence for sentence in sentences]
    return "\n".join(lines)
