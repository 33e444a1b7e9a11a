"""`python -m tests.browser.fill seeded|empty`: fills the database that the environment names."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main(what: str) -> None:
    """Make the tables and, as `what` says, everything in them or an administrator only."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "palyra_site.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    # Imported only now: it needs Django's models.
    from tests.browser import seed  # noqa: PLC0415

    if what == "seeded":
        seed.seed()
    else:
        seed.people()


if __name__ == "__main__":
    main(sys.argv[1])
