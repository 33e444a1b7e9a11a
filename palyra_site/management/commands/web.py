"""`palyra web`: one web process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import signal
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand

from palyra_site.configuration import ConfigurationError, local_url
from palyra_site.preflight import listen

# Clients that pool connections keep them this long; shorter, and each call would open one anew.
KEEP_ALIVE_SECONDS = 75
# Calls in hand are given this long to be answered and settled once it is told to stop.
GRACE_SECONDS = 10
HIGHEST_PORT = 65535

logger = logging.getLogger("palyra.web")


class Command(BaseCommand):
    """Serve console, team pages, API and the OpenAI-compatible endpoint."""

    help = "Serve the console, the team pages, the API and the OpenAI-compatible endpoint."

    def add_arguments(self, parser: ArgumentParser) -> None:
        configuration = settings.CONFIGURATION
        parser.add_argument("--host", default=configuration.host, help="default: PALYRA_HOST")
        parser.add_argument(
            "--port", type=int, default=configuration.port, help="default: PALYRA_PORT"
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        if not 0 < port <= HIGHEST_PORT:
            raise ConfigurationError(f"--port: {port} is not a number from 1 to {HIGHEST_PORT}.")
        listener = listen(host, port)
        server = _server()

        def stop(number: int, frame: object) -> None:
            server.should_exit = True

        # uvicorn puts its own in place while it serves, then these back, and then repeats the
        # signal that ended it: with Python's own handlers that would end us with a failure.
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        logger.info("Listening on %s", local_url(host, port))
        server.run(sockets=[listener])


def _server() -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            "palyra_site.asgi:application",
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            # Whom to believe about where a request came from, and that it came by https.
            proxy_headers=True,
            forwarded_allow_ips=list(settings.CONFIGURATION.trusted_proxies),
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
