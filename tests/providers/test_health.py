"""Looking at providers: over real HTTP, with each credential, and once a minute among all."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from providers import health
from providers.health import ConnectionTest, CredentialTest, claim_due, look_at, record
from providers.models import Provider, ProviderProbe
from providers.registry import ProviderEntry, entry
from providers.transport import Transport
from tests.providers.entries import anthropic_entry, credential_entry, provider_entry, remote_entry
from tests.providers.host import KEY, hosting
from tests.providers.wire import Exchange, serving
from tests.support.factories import make_credential, make_provider, make_remote

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def lists_models(exchange: Exchange) -> None:
    await exchange.answer(200, {"object": "list", "data": [{"id": "small", "type": "model"}]})


def cause_of(test: ConnectionTest) -> str:
    (result,) = test.results
    assert not result.ok
    assert result.latency_ms >= 0
    return str(result)


async def test_a_host_is_reached_with_its_key(transport: Transport) -> None:
    async with serving(lists_models) as wire:
        found = await health.test_connection(remote_entry(wire.base_url, key=KEY), transport)

    (asked,) = wire.received
    assert asked.head.startswith("GET /v1/models ")
    assert asked.header("authorization") == f"Bearer {KEY}"
    assert found.ok
    (result,) = found.results
    assert result.latency_ms == found.latency_ms
    assert "Reached in" in str(result)


async def test_anthropics_host_is_asked_in_its_own_way(transport: Transport) -> None:
    async with serving(lists_models) as wire:
        found = await health.test_connection(anthropic_entry(wire.base_url, key=KEY), transport)

    assert found.ok
    assert wire.received[0].header("x-api-key") == KEY


async def test_each_credential_is_tested(transport: Transport) -> None:
    async def behave(exchange: Exchange) -> None:
        if exchange.header("authorization") == f"Bearer {KEY}":
            await lists_models(exchange)
        else:
            await exchange.answer(401, {"error": {"message": "Incorrect API key."}})

    keys = (credential_entry(KEY, name="main"), credential_entry("sk-other", name="spare"))
    unset = credential_entry(None, name="lost", fault="The variable X is not set.")
    async with serving(behave) as wire:
        provider = remote_entry(wire.base_url, credentials=(*keys, unset))
        found = await health.test_connection(provider, transport)

    assert [(one.credential, one.ok) for one in found.results] == [
        ("main", True),
        ("spare", False),
        ("lost", False),
    ]
    assert not found.ok
    assert found.first_fault is not None
    assert str(found.first_fault).startswith("“spare”: The host refused the key (401).")
    assert len(wire.received) == 2


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refused the key"),
        (403, "does not let it list models"),
        (404, "probably lacks its version"),
        (302, "a redirect (302)"),
        (429, "asked too often"),
        (503, "a problem of its own"),
    ],
)
async def test_what_a_host_answers_is_said_in_words(
    transport: Transport, status: int, says: str
) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.answer(status, {"error": {"message": f"No. {KEY}"}}, Location="/else")

    async with serving(behave) as wire:
        found = await health.test_connection(remote_entry(wire.base_url, key=KEY), transport)

    assert says in cause_of(found)
    assert found.results[0].http_status == status
    assert KEY not in str(found)
    assert KEY not in repr(found)


async def test_a_web_page_is_no_list_of_models(transport: Transport) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.answer(200, b"<html>Welcome!</html>")

    async with serving(behave) as wire:
        found = await health.test_connection(remote_entry(wire.base_url), transport)

    assert "not with a list of models" in cause_of(found)


async def test_a_host_that_asks_for_a_key_that_there_is_not(transport: Transport) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.answer(401, {"error": {"message": "You did not provide an API key."}})

    async with serving(behave) as wire:
        found = await health.test_connection(remote_entry(wire.base_url), transport)

    assert "Add a credential." in cause_of(found)


async def test_nobody_listens(transport: Transport, free_port: int) -> None:
    provider = remote_entry(f"http://127.0.0.1:{free_port}/v1")

    assert "Nothing listens there" in cause_of(await health.test_connection(provider, transport))


async def test_a_name_that_nobody_has(transport: Transport) -> None:
    provider = remote_entry("http://no-such-host.invalid/v1")

    assert "is spelt" in cause_of(await health.test_connection(provider, transport))


async def test_a_private_address_is_refused(transport: Transport) -> None:
    async with serving(lists_models) as wire:
        provider = remote_entry(wire.base_url, allow_private_base_url=False)
        found = await health.test_connection(provider, transport)

    assert "allow private addresses" in cause_of(found)
    assert not wire.received


async def test_tls_where_plain_http_is_spoken(transport: Transport) -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        provider = remote_entry(f"https://127.0.0.1:{port}/v1")
        found = await health.test_connection(provider, transport)

    assert "plain HTTP" in cause_of(found)


async def test_a_certificate_of_nobody(transport: Transport, tmp_path: Path) -> None:
    async with serving(lists_models, _self_signed(tmp_path)) as wire:
        provider = remote_entry(wire.base_url.replace("http://127.0.0.1", "https://localhost"))
        found = await health.test_connection(provider, transport)

    assert "certificate" in cause_of(found)


def _self_signed(directory: Path) -> ssl.SSLContext:
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_host_that_never_answers(transport: Transport) -> None:
    async def hang(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with serving(hang) as wire:
        provider = remote_entry(wire.base_url, total_timeout=0.5)
        found = await health.test_connection(provider, transport)

    assert "did not answer" in cause_of(found)
    assert found.results[0].failure_class == "provider_timeout"


async def test_a_rehearsal_answers_at_once(transport: Transport) -> None:
    found = await health.test_connection(provider_entry(), transport)

    assert found.ok
    assert found.latency_ms == 0


def test_a_test_by_hand_is_kept_as_the_last_probe(db: None) -> None:
    with hosting("small", key=KEY) as host:
        provider = make_remote(base_url=host.base_url)
        make_credential(provider, KEY)
        assert health.check_now(provider).ok
        good = ProviderProbe.objects.get()
        assert (good.ok, good.message, good.failure_class) == (True, "", "")
        assert good.latency_ms is not None
        host.status = 500
        assert not health.check_now(provider).ok

    bad = ProviderProbe.objects.get()
    assert (bad.ok, bad.latency_ms, bad.failure_class) == (False, None, "transient_upstream")
    assert "a problem of its own" in bad.message
    assert bad.checked_at is not None
    assert claim_due(bad.checked_at + timedelta(seconds=30)) == []


def test_only_enabled_remote_providers_are_due_and_once_a_minute(db: None) -> None:
    due = make_remote(name="due")
    make_remote(name="disabled", enabled=False)
    make_provider(name="rehearsal")

    assert [one.name for one in claim_due(NOON)] == ["due"]
    assert claim_due(NOON + timedelta(seconds=59)) == []
    assert [one.id for one in claim_due(NOON + timedelta(seconds=60))] == [due.pk]


def test_a_claim_that_came_to_nothing_is_anybodys_a_minute_later(db: None) -> None:
    make_remote()
    assert claim_due(NOON)

    assert ProviderProbe.objects.get().checked_at is None
    assert claim_due(NOON + timedelta(minutes=1))


def test_what_was_found_is_kept(db: None) -> None:
    provider = make_remote()
    (claimed,) = claim_due(NOON)
    result = CredentialTest(
        credential="main", ok=False, latency_ms=7, failure_class="rate_limited", cause="No.",
        advice="Wait.", http_status=429,
    )  # fmt: skip

    record(claimed, ConnectionTest(provider.name, (result,)), NOON)

    probe = ProviderProbe.objects.get()
    assert (probe.checked_at, probe.ok, probe.failure_class) == (NOON, False, "rate_limited")
    assert probe.message == "“main”: No. Wait."


def test_a_provider_deleted_meanwhile_is_passed_over(db: None) -> None:
    make_remote()
    (claimed,) = claim_due(NOON)
    Provider.objects.all().delete()

    record(claimed, ConnectionTest(claimed.name, ()), NOON)

    assert not ProviderProbe.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_that_claim_at_once_one_probes() -> None:
    for _ in range(3):
        make_remote()
    begin = threading.Barrier(4)
    claimed: list[list[ProviderEntry]] = []

    def claim() -> None:
        try:
            begin.wait()
            claimed.append(claim_due(NOON))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = [one.id for found in claimed for one in found]
    assert len(claimed) == 4
    assert sorted(ids) == sorted(Provider.objects.values_list("pk", flat=True))


async def test_many_are_looked_at_a_few_at_a_time(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "AT_ONCE", 3)
    under_way, most = 0, 0

    async def behave(exchange: Exchange) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        under_way -= 1
        await lists_models(exchange)

    async with serving(behave) as wire:
        providers = [remote_entry(wire.base_url) for _ in range(10)]
        found = await look_at(providers, transport)

    assert [one.id for one, _ in found] == [one.id for one in providers]
    assert all(result.ok for _, result in found)
    assert 1 <= most <= 3


async def test_one_that_cannot_be_tested_keeps_no_other_from_it(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = health.test_connection

    async def broken(provider: ProviderEntry, transport: Transport) -> ConnectionTest:
        if provider.name == "odd":
            raise OverflowError
        return await real(provider, transport)

    monkeypatch.setattr(health, "test_connection", broken)
    odd, well = provider_entry(name="odd"), provider_entry(name="well")

    found = await look_at([odd, well], transport)

    assert [(one, result.ok) for one, result in found] == [(well, True)]
    assert "odd could not be looked at." in caplog.text


def test_an_entry_is_of_the_enabled_credentials(db: None) -> None:
    provider = make_remote()
    make_credential(provider, KEY, enabled=False)

    assert entry(provider).credentials == ()
