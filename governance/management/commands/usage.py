"""`palyra usage`: what is kept beside the ledger, from the command line.

Exit status: 0 all is well, 1 something differs, 2 the command cannot be understood.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error as DatabaseFailure

from governance.ledger.rebuilding import NAMES, Rebuilt, WrongWindow, rebuild

WRONG = 1
MOST_SHOWN = 20


class Command(BaseCommand):
    """Compute the sums of what was used, and the budgets' windows, anew."""

    help = "Compute the sums of what was used, and the budgets' windows, anew from the ledger."

    # They read the whole site, which this command never serves.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        wants = parser.add_subparsers(dest="wants", required=True, metavar="COMMAND")
        says = "Compare sums and windows with the ledger and put right what differs."
        one = wants.add_parser(
            "rebuild", help=says, description=f"{says} Calls wait while it is at work."
        )
        one.add_argument("--check", action="store_true", help="change nothing; 1 if they differ")
        one.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        try:
            found = rebuild(mend=not check)
        except DatabaseFailure as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"The database cannot be read or written: {reason}") from None
        self.stdout.write(_json(found) if options["json"] else _text(found))
        if check and not found.equal:
            raise CommandError("They differ from the ledger.", returncode=WRONG)
        if not found.equal and not options["json"]:
            self.stdout.write("All of it was put right.")


def _json(found: Rebuilt) -> str:
    content = {
        "equal": found.equal,
        **{NAMES[table]: count for table, count in found.sums.items()},
        "windows": [asdict(one) for one in found.windows],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)


def _text(found: Rebuilt) -> str:
    if found.equal:
        return "Sums and windows are what the ledger says."
    lines = [
        f"{count:,} of the {NAMES[table]} differ." for table, count in found.sums.items() if count
    ]
    lines += [_window_text(one) for one in found.windows[:MOST_SHOWN]]
    if len(found.windows) > MOST_SHOWN:
        lines.append(f"And {len(found.windows) - MOST_SHOWN:,} more windows.")
    return "\n".join(lines)


def _window_text(one: WrongWindow) -> str:
    whose = f" of {one.scope_value}" if one.scope_value else ""
    return (
        f"“{one.policy}”{whose} from {one.starts_at:%Y-%m-%d %H:%M} UTC: {one.consumed} consumed "
        f"and {one.held} held; the ledger says {one.right_consumed} and {one.right_held}."
    )
