"""What can be typed after `palyra cron`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable

from scheduling import handling, previews
from scheduling.management import cron_finding as finding
from scheduling.management import cron_options as given
from scheduling.models import RunStatus

SHOWN_RUNS, SHOWN_JOBS = 20, 200
LONGEST_WAIT = 900
MOST_SHOWN, MOST_TIMES, MOST_SECONDS = 10_000, 1000, 86_400
NAMED = "a job's identifier, or TEAM/NAME"


def add_arguments(parser: ArgumentParser) -> None:
    """Take every subcommand with its options."""
    wants = parser.add_subparsers(dest="wants", required=True, metavar="COMMAND")

    def add(name: str, help_text: str, *, job: str = "") -> ArgumentParser:
        one: ArgumentParser = wants.add_parser(name, help=help_text, description=help_text)
        one.add_argument("--json", action="store_true", help="answer in JSON")
        if job:
            one.add_argument("job", metavar="JOB", help=job)
        return one

    add("status", "Say whether schedulers and workers are alive, and what waits for whom.")
    _add_list(add("list", "List scheduled prompts."))
    add("show", "Show all of a scheduled prompt.", job=NAMED)
    one = add("add", "Schedule a prompt.")
    one.add_argument("job", metavar="TEAM/NAME", help="whose it is, and what it is called")
    given.add_field_options(one, names=given.fields() - {"name"})
    given.add_companions(one)
    one = add("update", "Change a scheduled prompt; what is not named stays.", job=NAMED)
    given.add_field_options(one)
    given.add_companions(one)
    add("enable", "Let a paused job run again, from its next time on.", job=NAMED)
    one = add("disable", "Let a job run no more until it is enabled.", job=NAMED)
    one.add_argument("--reason", default="", help="why: shown until it is enabled")
    _add_run_now(add("run-now", "Run a job once, beside its schedule.", job=NAMED))
    one = add("cancel", "Cancel a run, or all of a job's that have not ended.")
    one.add_argument("job", metavar="RUN|JOB", help="a run's identifier, or a job")
    one.add_argument("--reason", default="", help="why")
    one = add("review", "Show missed times that a person decides on, or decide.", job=NAMED)
    decisions = f"one of {', '.join(handling.DECISIONS)}; without one they are shown"
    one.add_argument("decision", nargs="?", metavar="DECISION", help=decisions)
    add("delete", "Delete a job that has not run yet.", job=NAMED)
    _add_logs(add("logs", "Show runs, the latest first."))
    _add_preview(add("preview", "Show the next times of a job, or of a schedule to be."))
    one = add("rehearse", "Show what a job would ask; nothing is sent or spent.", job=NAMED)
    given.add_parameters(one)


def _add_list(parser: ArgumentParser) -> None:
    parser.add_argument("--team", metavar="SLUG", help="those of one team")
    parser.add_argument("--state", choices=finding.STATES, help="those in one state")
    _add_limit(parser, SHOWN_JOBS)


def _add_limit(parser: ArgumentParser, most: int) -> None:
    parser.add_argument(
        "--limit",
        type=_whole(1, MOST_SHOWN),
        default=most,
        metavar="NUMBER",
        help=f"how many, at most {MOST_SHOWN} (default: {most})",
    )


def _whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number in those bounds."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ArgumentTypeError(f"give a whole number from {least} to {most:,}")
        return number

    return read


def _add_run_now(parser: ArgumentParser) -> None:
    given.add_parameters(parser)
    parser.add_argument("--wait", action="store_true", help="wait for it to end; 1 if not well")
    parser.add_argument(
        "--timeout",
        type=_whole(0, MOST_SECONDS),
        default=LONGEST_WAIT,
        metavar="SECONDS",
        help=f"wait no longer (default: {LONGEST_WAIT})",
    )


def _add_logs(parser: ArgumentParser) -> None:
    parser.add_argument(
        "job", nargs="?", metavar="JOB|RUN", help="of one job, or all of one run; all if left out"
    )
    parser.add_argument("--status", choices=RunStatus.values, help="those that are so")
    parser.add_argument("--output", action="store_true", help="with what was asked and answered")
    _add_limit(parser, SHOWN_RUNS)


def _add_preview(parser: ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", metavar="JOB", help="a job, as it is or with changes")
    given.add_field_options(parser, names=given.TIMING)
    given.add_calendars(parser)
    parser.add_argument(
        "--count",
        type=_whole(1, MOST_TIMES),
        default=previews.PREVIEW_COUNT,
        metavar="NUMBER",
        help=f"how many times, at most {MOST_TIMES}",
    )
    parser.add_argument(
        "--in",
        dest="zones",
        action="append",
        metavar="ZONE",
        help="as clocks there show them, too; may be repeated",
    )
