"""`palyra two_step_off NAME`: let in somebody who has lost both phone and recovery codes."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.audit import record
from palyra_site.access.records import TWO_STEP_OFF


class Command(BaseCommand):
    """For an only owner, whom nobody can help in the console."""

    help = (
        "Take two-step sign-in away from somebody who has lost both phone and recovery codes. "
        "Their password alone lets them in until they set it up again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="Their username.")

    def handle(self, *args: Any, **options: Any) -> None:
        from allauth.mfa.models import Authenticator  # noqa: PLC0415 - once there are models

        name = options["name"]
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"Nobody has the username {name}.")
        with transaction.atomic():
            deleted, _ = Authenticator.objects.filter(user=user).delete()
            if not deleted:
                raise CommandError(f"{name} does not use two-step sign-in.")
            record(TWO_STEP_OFF, user, {"two-step sign-in": ["on", "off"]})
        self.stdout.write(
            f"{name} signs in with a password alone until two-step sign-in is set up again."
        )
