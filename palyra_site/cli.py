"""The command line: `palyra up`, `palyra web`, and every Django command."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from palyra_site.configuration import Configuration, ConfigurationError, read

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
# Long-lived processes; the settings module reads PALYRA_ROLE to choose how connections are kept.
ROLES = ("web", "worker", "scheduler")
# What these do is the system's own doing, and nobody's command.
SERVING = ("up", *ROLES)
HELP_WORDS = {"help", "--help", "-h", "version", "--version"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; settings that cannot be used are said in plain lines, with exit status 2."""
    argv = list(sys.argv if arguments is None else arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "palyra_site.settings")
    if argv[1:2] and argv[1] in ROLES:
        os.environ["PALYRA_ROLE"] = argv[1]
    try:
        configuration = read()
        if asks_for_help(argv):
            _use_a_passing_key(configuration)
        else:
            _make_data_dir(configuration)
            _look_at_the_vault(argv)
        from django.core.management import execute_from_command_line  # noqa: PLC0415

        from governance.acting import acting, operator  # noqa: PLC0415

        with nullcontext() if argv[1:2] and argv[1] in SERVING else acting(operator):
            execute_from_command_line(argv)
    except ConfigurationError as error:
        for fault in error.faults:
            sys.stderr.write(f"palyra: {fault}\n")
        raise SystemExit(EXIT_USAGE) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether this command line only shows something, so that it must leave nothing behind."""
    return len(argv) < 2 or not HELP_WORDS.isdisjoint(argv[1:])  # noqa: PLR2004


def _use_a_passing_key(configuration: Configuration) -> None:
    """A key for this process alone, so that the settings make no key file."""
    if not configuration.secret_key:
        os.environ["PALYRA_SECRET_KEY"] = secrets.token_urlsafe(48)


def _look_at_the_vault(argv: Sequence[str]) -> None:
    """Let no process start that would need secrets which it cannot read. `up` looks for itself."""
    if argv[1] not in ROLES:
        return
    import django  # noqa: PLC0415

    django.setup()
    from palyra_site.vault_check import before_serving  # noqa: PLC0415 - once there are models

    before_serving()


def _make_data_dir(configuration: Configuration) -> None:
    try:
        configuration.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"PALYRA_DATA_DIR: {configuration.data_dir} cannot be made ({error.strerror})."
        ) from None
