"""`palyra cron`: scheduled prompts from the command line.

Exit status: 0 all is well, 1 something is wrong, 2 the command cannot be understood.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from django.db import transaction
from django.utils import timezone

from governance.models import Team
from scheduling import handling, jobs, trials
from scheduling.api.schemas import JobOut, RunOut
from scheduling.management import cron_options as given
from scheduling.management import cron_text as text
from scheduling.management import cron_wait
from scheduling.management.cron_names import (
    NotFound,
    as_id,
    calendars_named,
    channels_named,
    job_named,
    run_with,
    team_and_name,
)
from scheduling.models import ACTIVE, CronJob, CronRun, RunStatus
from scheduling.standing import standing

WRONG, USAGE = 1, 2
SHOWN_RUNS, SHOWN_TIMES, SHOWN_JOBS = 20, 6, 200
MOST_TIMES = 1000
LONGEST_WAIT = 900
STATES = ("active", "paused", "finished")


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
        wants = parser.add_subparsers(dest="wants", required=True, metavar="COMMAND")

        def add(name: str, help_text: str, *, job: str = "") -> ArgumentParser:
            one: ArgumentParser = wants.add_parser(name, help=help_text, description=help_text)
            one.add_argument("--json", action="store_true", help="answer in JSON")
            if job:
                one.add_argument("job", metavar="JOB", help=job)
            return one

        named = "a job's identifier, or TEAM/NAME"
        add("status", "Say whether schedulers and workers are alive, and what waits for whom.")
        _add_list(add("list", "List scheduled prompts."))
        add("show", "Show all of a scheduled prompt.", job=named)
        one = add("add", "Schedule a prompt.")
        one.add_argument("job", metavar="TEAM/NAME", help="whose it is, and what it is called")
        given.add_field_options(one, names=given.fields() - {"name"})
        given.add_companions(one)
        one = add("update", "Change a scheduled prompt; what is not named stays.", job=named)
        given.add_field_options(one)
        given.add_companions(one)
        add("enable", "Let a paused job run again, from its next time on.", job=named)
        one = add("disable", "Let a job run no more until it is enabled.", job=named)
        one.add_argument("--reason", default="", help="why, for those who wonder later")
        _add_run_now(add("run-now", "Run a job once, beside its schedule.", job=named))
        one = add("cancel", "Cancel a run, or all of a job's that have not ended.")
        one.add_argument("job", metavar="RUN|JOB", help="a run's identifier, or a job")
        one.add_argument("--reason", default="", help="why")
        one = add("review", "Show missed times that a person decides on, or decide.", job=named)
        one.add_argument("decision", nargs="?", metavar="DECISION", help=_decisions())
        add("delete", "Delete a job that has not run yet.", job=named)
        _add_logs(add("logs", "Show runs, the latest first."))
        _add_preview(add("preview", "Show the next times of a job, or of a schedule to be."))
        one = add("rehearse", "Show what a job would ask; nothing is sent or spent.", job=named)
        given.add_parameters(one)

    def handle(self, *args: Any, wants: str, **options: Any) -> None:
        subcommand: Callable[..., Answer] = getattr(self, f"_{wants.replace('-', '_')}")
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
        self.stdout.write(in_json if options["json"] else answer.text)
        if answer.fault:
            raise CommandError(answer.fault, returncode=WRONG)

    def _status(self, _options: dict[str, Any]) -> Answer:
        now = timezone.now()
        found = standing(now)
        return Answer(status_content(found), text.status(found, now), " ".join(found.faults))

    def _list(self, options: dict[str, Any]) -> Answer:
        rows = listed(team=options["team"], state=options["state"])
        shown = list(rows[: options["limit"]])
        more = rows.count() - len(shown) if len(shown) == options["limit"] else 0
        content = [_job_json(job) for job in shown]
        return Answer(content, text.job_list(shown, latest_runs(shown), more))

    def _show(self, options: dict[str, Any]) -> Answer:
        job, now = job_named(options["job"]), timezone.now()
        return Answer(_job_json(job), text.job(job, next_times(job, SHOWN_TIMES, now)))

    def _add(self, options: dict[str, Any]) -> Answer:
        fields = given.read_fields(options)
        try:
            team, fields.changes["name"] = team_and_name(options["job"])
        except NotFound as fault:
            fields.faults["team"] = [str(fault)]
            raise CommandError(_said(fields.faults), returncode=WRONG) from None
        if not fields.is_timed:
            fields.faults["schedule_kind"] = [given.WHEN]
        given.read_companions(fields, options, team)
        now = timezone.now()
        job = _written(fields, lambda **values: jobs.create_job(team=team, now=now, **values))
        return Answer(_job_json(job), text.changed(job, "Added"))

    def _update(self, options: dict[str, Any]) -> Answer:
        job, fields = job_named(options["job"]), given.read_fields(options)
        given.read_companions(fields, options, job.team, job.parameters)
        if not fields.changes and not fields.faults:
            raise CommandError("Say what is to be changed.", returncode=USAGE)
        now = timezone.now()
        job = _written(fields, lambda **values: jobs.update_job(job, now=now, **values))
        return Answer(_job_json(job), text.changed(job, "Changed"))
