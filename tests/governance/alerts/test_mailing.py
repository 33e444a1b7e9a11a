"""Mail over real connections: it ends in time, and keeps nothing else waiting."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from governance.alerts import mailing
from governance.alerts.deliveries import CLAIMED_FOR, new_delivery
from governance.alerts.sending import MAIL_PAUSE, Outgoing, Result
from governance.models import Channel
from tests.governance.alerts.receiver import send_all

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHANNEL = Channel(pk=1, kind="email", recipients=["ada@example.com"])
MESSAGE = Outgoing(
    new_delivery(CHANNEL, "channel.test", {"data": {"title": "t"}}, NOON), CHANNEL, ""
)


@dataclass(slots=True)
class MailServer:
    """Takes mail, but says nothing more once it has been told the word `hangs_after`."""

    listening: socket.socket
    hangs_after: str = "nothing"
    told: list[str] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def serve(self) -> None:
        with suppress(OSError):
            line, _ = self.listening.accept()
            self.called.set()
            with line, line.makefile("rb") as said:
                if self.hangs_after:
                    self._talk(line, said)
                while line.recv(4096):
                    pass
        self.left.set()

    def _talk(self, line: socket.socket, said: object) -> None:
        line.sendall(b"220 here\r\n")
        in_data = False
        for word in said:  # type: ignore[attr-defined]
            told = word.decode().strip().upper()
            self.told.append(told)
            if in_data and told != ".":
                continue
            if told.startswith(self.hangs_after):
                return
            in_data = told == "DATA"
            line.sendall(b"354 go on\r\n" if in_data else b"250 good\r\n")


@pytest.fixture
def server(settings: Settings) -> Iterator[MailServer]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = listening.getsockname()
        settings.EMAIL_TIMEOUT = 15
        server = MailServer(listening)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def sent() -> Result:
    [(_, result)] = send_all([MESSAGE], NOON)
    return result


def test_mail_is_taken(server: MailServer) -> None:
    assert sent().taken
    assert "." in server.told


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("hangs_after", ["", "."], ids=["at once", "at the end"])
def test_a_mail_server_that_hangs_is_left(
    server: MailServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    hangs_after: str,
    tls: bool,
) -> None:
    monkeypatch.setattr(mailing, "SECONDS", 0.3)
    server.hangs_after, settings.EMAIL_USE_SSL = "" if tls else hangs_after, tls
    result = sent()
    assert (result.fault, result.taken, result.pause) == (mailing.TOO_LATE, False, MAIL_PAUSE)
    # There is no thread left behind that might have it taken later.
    assert server.left.wait(5)


def test_who_has_been_taken_at_his_word_need_not_be_told_goodbye(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailing, "SECONDS", 0.3)
    server.hangs_after = "QUIT"
    assert sent().taken


def test_a_talk_that_is_over_does_not_begin(server: MailServer) -> None:
    talk = mailing.Talk()
    talk.break_off()
    assert "TimeoutError" in mailing._hand_over("s", "t", ["ada@example.com"], talk)
    assert server.left.wait(5)
    assert server.told == []


def test_names_are_looked_up_though_mail_hangs(server: MailServer) -> None:
    server.hangs_after = ""

    async def look_up() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        mail = asyncio.ensure_future(mailing.hand_over("s", "t", ["ada@example.com"]))
        while not server.called.is_set():
            await asyncio.sleep(0)
        await asyncio.wait_for(loop.run_in_executor(None, int), 5)
        assert not mail.done()
        mail.cancel()
        with suppress(asyncio.CancelledError):
            await mail

    asyncio.run(look_up())
    # It is not waited for when the process ends.
    assert server.left.wait(5)


def test_it_ends_before_others_send_it_themselves() -> None:
    assert CLAIMED_FOR.total_seconds() > mailing.SECONDS
