"""`palyra demo`: fill an empty installation with plausible history, to look around in."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from palyra_site import preflight
from palyra_site.bootstrap import new_password
from palyra_site.demo import NotEmpty, contents, fill
from palyra_site.demo.filling import SEED
from palyra_site.demo.history import DAYS
from palyra_site.health import unapplied_migrations
from palyra_site.vault_check import vault_in_order


class Command(BaseCommand):
    """Six weeks of four teams' calls, budgets, schedules and alerts; no host is ever reached."""

    help = (
        "Fill an empty installation with six weeks of plausible history for four teams. Its "
        "providers rehearse: nothing leaves the machine. Refuses where there is anything already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--seed", type=int, default=SEED, help="Other numbers give other histories."
        )
        parser.add_argument(
            "--until",
            type=_moment,
            default=None,
            metavar="TIME",
            help="When the history ends, such as 2026-03-31 or 2026-03-31T15:00 (UTC); now, if "
            "left out.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        until = options["until"] or timezone.now()
        if until > timezone.now() + timedelta(minutes=1):
            raise CommandError("--until is in the future: history ends now at the latest.")
        preflight.reach_database()
        with preflight.database_faults("cannot be filled"), preflight.one_at_a_time():
            self._migrate()
            vault_in_order()
            self._refuse_unless_empty(contents())
            password = new_password()
            self.stdout.write(f"Writing {DAYS} days of history. This takes a moment.")
            self._fill(until, options["seed"], password)
        self.stdout.write(
            f"\nThis is shown once. Keep it.\n\n"
            f"  User name  admin\n"
            f"  Password   {password}\n\n"
            f"Now run “palyra up” and sign in at {settings.PALYRA_PUBLIC_URL}/admin/\n"
        )

    @staticmethod
    def _migrate() -> None:
        if not unapplied_migrations():
            return
        if MigrationRecorder(connection).applied_migrations():
            raise CommandError(
                "This database is of another version of Palyra, so it is in use. Nothing was "
                "changed. Point PALYRA_DATA_DIR (or DATABASE_URL) at a new place and try again."
            )
        call_command("migrate", interactive=False, verbosity=0)

    @staticmethod
    def _refuse_unless_empty(found: list[str]) -> None:
        if found:
            raise CommandError(
                f"This installation is not empty: it has {', '.join(found)}. Nothing was changed. "
                "Point PALYRA_DATA_DIR (or DATABASE_URL) at a new place and try again."
            )

    def _fill(self, until: datetime, seed: int, password: str) -> None:
        try:
            made = fill(now=until, seed=seed)
        except NotEmpty as refused:
            # Somebody else was quicker.
            self._refuse_unless_empty(refused.found)
            raise
        made.administrator.set_password(password)
        made.administrator.save()


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day or a time.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
