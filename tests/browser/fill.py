"""`python -m tests.browser.fill seeded|empty|demo`: fills the database of the environment."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main(what: str) -> None:
    """Make the tables and what `what` says: much, an administrator only, or the demonstration."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "palyra_site.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    # Imported only now: they need Django's models.
    from tests.browser import seed, seed_organisation  # noqa: PLC0415

    if what == "demo":
        _demonstrate()
    elif what == "seeded":
        seed.seed()
    else:
        seed_organisation.add_people()


def _demonstrate() -> None:
    """What `palyra demo` makes, for somebody who signs in with the tests' password."""
    from django.utils import timezone  # noqa: PLC0415

    from palyra_site.demo import fill  # noqa: PLC0415
    from tests.browser.console import PASSWORD  # noqa: PLC0415

    administrator = fill(now=timezone.now(), as_if_running=True).administrator
    administrator.set_password(PASSWORD)
    administrator.save()


if __name__ == "__main__":
    main(sys.argv[1])
