"""`palyra vault`: which stored secrets are under which key, and how they come under a new one."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure

from providers import vault
from providers.vault_rotation import (
    NothingToRotate,
    Rotation,
    RotationUnderWay,
    VaultStatus,
    forget_unreadable,
    may_be_shared,
    rotate,
    status,
)

WHAT = {
    "status": "Say how many stored secrets are under which key.",
    "rotate": "Encrypt every stored secret under a new key.",
    "forget": "Delete the stored secrets that no key reads. For when their key is lost.",
}


class Command(BaseCommand):
    """Look after the key that stored secrets are encrypted with."""

    help = "Look after the key that stored secrets are encrypted with."

    # They read the whole site, which this command never serves.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        wants = parser.add_subparsers(dest="wants", required=True)
        for name, text in WHAT.items():
            one = wants.add_parser(name, help=text, description=text)
            one.add_argument("--json", action="store_true", help="answer in JSON")
            if name == "forget":
                one.add_argument("--yes", action="store_true", help="delete them, and say which")

    def handle(self, *args: Any, wants: str, **options: Any) -> None:
        try:
            answer, lines = getattr(self, f"_{wants}")(options)
        except (NothingToRotate, RotationUnderWay, vault.VaultKeyError) as error:
            raise CommandError(str(error)) from None
        except DatabaseFailure as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"The database cannot be read or written: {reason}") from None
        except OSError as error:
            raise CommandError(
                f"{vault.own_file()} cannot be written ({error.strerror}). Every stored secret can "
                f"be read as before."
            ) from None
        self.stdout.write(json.dumps(answer, indent=2) if options["json"] else "\n".join(lines))

    def _status(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        found = status()
        return {**asdict(found), "stored": found.stored}, _status_lines(found)

    def _rotate(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        done = rotate()
        following = _next_step(done)
        return {**asdict(done), "next": following}, [
            f"{_secrets(done.rotated)} encrypted anew, under the key {done.fingerprint}.",
            *_unreadable_lines(done.unreadable),
            *([following] if following else []),
        ]

    def _forget(self, options: dict[str, Any]) -> tuple[Any, list[str]]:
        if not options["yes"]:
            lost = status().unreadable
            if not lost:
                return {"forgotten": []}, ["Every stored secret can be read. Nothing to forget."]
            raise CommandError(
                f"This would delete {_secrets(len(lost))} that no key reads ({', '.join(lost)}) "
                f"with the credentials that use them, and disable the providers left without one. "
                f"If their key is lost for good, run it again with --yes."
            )
        names = forget_unreadable()
        return {"forgotten": names}, [f"{_secrets(len(names))} deleted: {', '.join(names) or '–'}."]


def _status_lines(found: VaultStatus) -> list[str]:
    lines = [f"{_secrets(found.stored)} stored; the keys are from {found.place}."]
    lines += [
        f"  {key.fingerprint}  {_secrets(key.secrets)}"
        + ("  (encrypts what is stored from now on)" if number == 0 else "")
        for number, key in enumerate(found.keys)
    ]
    if found.referred:
        lines.append(f"{_secrets(found.referred)} kept elsewhere (env:, file:), under no key.")
    return [*lines, *_unreadable_lines(found.unreadable)]


def _unreadable_lines(names: tuple[str, ...]) -> list[str]:
    if not names:
        return []
    return [f"{_secrets(len(names))} under none of the keys: {', '.join(names)}. Enter them again."]


def _next_step(done: Rotation) -> str:
    if not done.own_file:
        return "Now take the other keys out of PALYRA_VAULT_KEY, and start Palyra anew everywhere."
    if may_be_shared():
        return (
            f"If other machines use this database, give them {vault.own_file()} as it is now: the "
            f"key they have reads nothing any more. Behind the new key it still holds those "
            f"before, for what such machines store until then. Once all have it, a key that "
            f"`palyra vault status` counts no secret under can be taken out."
        )
    return ""


def _secrets(count: int) -> str:
    return "1 secret" if count == 1 else f"{count} secrets"
