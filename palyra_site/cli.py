"""The command line: `palyra up`, `palyra web`, and every Django command."""

from __future__ import annotations

import os
import sys

from palyra_site import configuration

EXIT_USAGE = 2


def main() -> None:
    """Run one command; settings that cannot be used are said in plain lines, with exit status 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "palyra_site.settings")
    try:
        configuration.read()
    except configuration.ConfigurationError as error:
        for fault in error.faults:
            sys.stderr.write(f"palyra: {fault}\n")
        raise SystemExit(EXIT_USAGE) from None
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    execute_from_command_line(sys.argv)
