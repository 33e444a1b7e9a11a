"""`palyra prices`: what models cost, from the command line.

Exit status: 0 all is well, 1 something is wrong, 2 the command cannot be understood.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from governance import price_import
from governance.api.price_import import PriceImportOut
from governance.price_import import WORDS, ImportLine, PriceImport
from providers.discovery import ProposedPrice
from providers.discovery.price_words import price_words
from providers.tables import aligned

WRONG, USAGE = 1, 2


class Command(BaseCommand):
    """Take over listed prices."""

    help = "Show what the list of prices would change, and take it over."

    # They read the whole site, which this command never serves.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        wants = parser.add_subparsers(dest="wants", required=True, metavar="COMMAND")
        help_text = "Show what genai-prices lists for the models of the registry; it asks no host."
        one = wants.add_parser("import", help=help_text, description=help_text)
        one.add_argument("models", nargs="*", metavar="PROVIDER/MODEL", help="all if left out")
        one.add_argument(
            "--apply",
            action="store_true",
            help="set the prices that are new or changed, from now on; prices set by hand stay",
        )
        one.add_argument("--json", action="store_true", help="answer in JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = _import(options["models"], is_applied=options["apply"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=WRONG) from None
        except DatabaseFailure as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"The database cannot be read or written: {reason}") from None
        content = PriceImportOut.of(found).model_dump(mode="json")
        in_json = json.dumps(content, indent=2, ensure_ascii=False)
        self.stdout.write(in_json if options["json"] else _text(found, is_applied=options["apply"]))


def _import(names: Sequence[str], *, is_applied: bool) -> PriceImport:
    now = timezone.now()
    found = price_import.preview(now=now)
    known = {line.model: line for line in found.lines}
    if missing := [name for name in names if name not in known]:
        raise CommandError(
            f"There is no model {', '.join(f'“{name}”' for name in missing)} that a host answers. "
            "`palyra models list` shows the models.",
            returncode=USAGE,
        )
    picked = [known[name].model_id for name in names] if names else None
    if is_applied:
        return price_import.apply(picked, now=now)
    return found if picked is None else found.of(picked)


def _text(found: PriceImport, *, is_applied: bool) -> str:
    rows = [
        (line.model, WORDS[line.standing], _price(line), line.comparison.says)
        for line in found.lines
    ]
    lines = [str(found)]
    if rows:
        lines.append(aligned(("MODEL", "STANDING", "LISTED, PER M", "NOTE"), rows))
    count = "1 price" if found.to_set == 1 else f"{found.to_set or 'No'} prices"
    if not rows:
        lines.append("Add a provider and discover its models first: palyra models --help")
    elif is_applied:
        lines.append(f"{count} set.")
    elif found.to_set:
        lines.append(f"{count} would be set. Take over: palyra prices import --apply")
    return "\n".join(lines)


def _price(line: ImportLine) -> str:
    return price_words(line.proposed) if isinstance(line.proposed, ProposedPrice) else ""
