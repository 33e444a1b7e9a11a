"""Handing a message to the mail server within a time that is known, on threads for that alone.

Touches no database.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from smtplib import SMTP, SMTP_SSL, SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import get_connection, send_mail
from django.core.mail.backends import smtp

# Mail servers refuse many at once.
AT_ONCE = 4
# How long all may take, and any answer of the mail server: less than others wait before they send
# the message themselves.
SECONDS = 90.0
TOO_LATE = f"The mail server did not take it within {SECONDS:g} seconds."
# Where names are looked up for other messages, nothing waits for a mail server.
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mail")


class Talk:
    """A talk with the mail server that can be broken off from another thread: nothing is said from
    then on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_over = False
        self._line: socket.socket | None = None

    def begin(self, line: socket.socket) -> None:
        """It is held over this connection. Raises `TimeoutError` if it is over."""
        with self._lock:
            if self._is_over:
                line.close()
                raise TimeoutError
            # The other end of what TLS puts in the place of `line` is still this one's.
            self._line = line.dup()

    def break_off(self) -> None:
        """Have whoever waits for an answer wait no more."""
        with self._lock:
            self._is_over = True
            if self._line is not None:
                with suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)
                self._line.close()


class _Plain(SMTP):
    def __init__(self, *given: Any, talk: Talk, **named: Any) -> None:
        self._talk = talk
        super().__init__(*given, **named)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        line: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        self._talk.begin(line)
        # It is broken off before that, unless there is nobody left to do so.
        line.settimeout(2 * SECONDS)
        return line


class _OverTLS(SMTP_SSL, _Plain):
    def __init__(self, *given: Any, talk: Talk, **named: Any) -> None:
        self._talk = talk
        SMTP_SSL.__init__(self, *given, **named)


class Backend(smtp.EmailBackend):
    """Django's, in a talk that can be broken off."""

    def __init__(self, *, talk: Talk) -> None:
        super().__init__()
        self._talk = talk

    @property
    def connection_class(self) -> Callable[..., SMTP]:  # type: ignore[override]
        """What makes a connection."""
        return partial(_OverTLS if self.use_ssl else _Plain, talk=self._talk)


async def hand_over(subject: str, text: str, recipients: Sequence[str]) -> str:
    """Hand it to the mail server; what went wrong, or nothing. Raises `TimeoutError` if it was
    broken off.

    It ends when its thread does, which is soon after it is broken off.
    """
    talk = Talk()
    loop = asyncio.get_running_loop()
    handing = loop.run_in_executor(_threads, _hand_over, subject, text, recipients, talk)
    try:
        in_time, _ = await asyncio.wait([handing], timeout=SECONDS)
        if not in_time:
            talk.break_off()
        fault = await handing
    finally:
        talk.break_off()
    if fault and not in_time:
        raise TimeoutError(TOO_LATE)
    return fault


def _hand_over(subject: str, text: str, recipients: Sequence[str], talk: Talk) -> str:
    by_smtp = f"{smtp.__name__}.{smtp.EmailBackend.__name__}" == settings.EMAIL_BACKEND
    try:
        connection = Backend(talk=talk) if by_smtp else get_connection()
        send_mail(subject, text, None, recipients, connection=connection)
    except (OSError, SMTPException) as error:
        return f"The mail server did not take it ({type(error).__name__})."
    return ""
