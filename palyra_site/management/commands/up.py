"""`palyra up`: everything on one machine, in one command."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Collection
from http.client import HTTPConnection, HTTPException
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from governance import processes
from palyra_site import preflight
from palyra_site.bootstrap import DEMO_MODEL, FirstUse, prepare_first_use
from palyra_site.children import say
from palyra_site.cli import ROLES
from palyra_site.configuration import PACKAGE_PARENT, Configuration
from palyra_site.health import unapplied_migrations
from palyra_site.supervisor import NAME, Supervisor
from palyra_site.vault_check import vault_in_order

LOOK_SECONDS = 0.1
# After so long without an answer the operator is told to look at the lines of `web`.
SLOW_SECONDS = 30.0


class Command(BaseCommand):
    """Set up what is missing, then run web, worker and scheduler until stopped."""

    help = "Set up what is missing, then run web, worker and scheduler until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        configuration: Configuration = settings.CONFIGURATION
        with preflight.sole_use(configuration.data_dir) as lock:
            preflight.listen(configuration.host, configuration.port).close()
            if configuration.redis_url:
                preflight.reach_redis(configuration.redis_url)
            first_use = self._set_up()
            if first_use:
                self._show_secrets(first_use)
            # None is kept open, nor passed on to the children.
            connections.close_all()
            asyncio.run(self._supervise(configuration, lock, first_use))
        say(NAME, "stopped")

    def _set_up(self) -> FirstUse | None:
        preflight.reach_database()
        with preflight.database_faults("cannot be set up"), preflight.one_at_a_time():
            waiting = unapplied_migrations()
            if waiting:
                say(NAME, f"preparing the database ({waiting} migrations)")
                call_command("migrate", interactive=False, verbosity=0)
            vault_in_order()
            return prepare_first_use()

    def _show_secrets(self, first_use: FirstUse) -> None:
        self.stdout.write(
            f"\nThis is shown once. Keep it.\n\n"
            f"  User name  {first_use.username}\n"
            f"  Password   {first_use.password}\n"
            f"  API key    {first_use.key}\n"
        )
        self.stdout.flush()

    async def _supervise(
        self, configuration: Configuration, lock: int, first_use: FirstUse | None
    ) -> None:
        async def announce() -> None:
            await _until_alive(configuration)
            self.stdout.write(_welcome(configuration, first_use))
            self.stdout.flush()

        supervisor = Supervisor(
            {role: [sys.executable, "-m", "palyra_site", role] for role in ROLES},
            environments={role: _environment(role) for role in ROLES},
            on_death=_record_death,
            descriptors=[lock],
        )
        await supervisor.run(announce)


def _environment(role: str) -> dict[str, str]:
    paths = [str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PALYRA_ROLE": role,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
    }


def _record_death(pids: Collection[int]) -> None:
    """Strike the dead from the list of the living, so that their holds are swept at once."""
    try:
        for pid in pids:
            processes.mark_ended(socket.gethostname(), pid)
    finally:
        connections.close_all()


async def _until_alive(configuration: Configuration) -> None:
    waited = 0.0
    while not await asyncio.to_thread(_answers, configuration.local_url):
        await asyncio.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
        if waited >= SLOW_SECONDS:
            say(NAME, "web does not answer yet; its lines above may say why")
            waited = 0.0


def _answers(address: str) -> bool:
    connection = HTTPConnection(address.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200  # noqa: PLR2004
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _welcome(configuration: Configuration, first_use: FirstUse | None) -> str:
    # By the second start the operator's own key and default model may have taken over.
    key, model = (first_use.key, DEMO_MODEL) if first_use else ("$PALYRA_KEY", "auto")
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    return (
        f"\nPalyra is running; Ctrl-C stops it.\n\n"
        f"  Console     {configuration.public_url}/admin/\n"
        f"  Team pages  {configuration.public_url}/team/\n"
        f"  API         {configuration.public_url}/api/v1/docs\n\n"
        f"  curl {configuration.local_url}/v1/chat/completions "
        f'-H "Authorization: Bearer {key}" -H "Content-Type: application/json" '
        f"-d '{body}'\n\n"
    )
