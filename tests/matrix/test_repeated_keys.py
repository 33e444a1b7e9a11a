"""A host that repeats the key it was sent: nothing that Palyra keeps, says or logs has it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from html import escape
from urllib.parse import quote

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.utils import timezone

from governance.alerts.evaluation import evaluate
from governance.models import Alert, Channel
from providers import discovery
from providers.health import check_now
from providers.models import Breaker, Provider, ProviderProbe
from tests.matrix.cells import CLAUDE
from tests.matrix.house import FIRST, House, call
from tests.matrix.operations import Operation
from tests.support.factories import make_credential
from tests.support.faults import Behaviour, Fault
from tests.support.serving import serving
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("connections_closed")]
NAMES = {"openai_compatible": FIRST, "anthropic": f"{CLAUDE}.{FIRST}"}
# Each part between two of its signs is too short to be taken for the key where signs are escaped.
KEY = 'sk-re/Pea+t3d/Qw="9/Zx&c8<vB/nM7=='
# Some hosts write these so in JSON, lest a page takes them for its own.
IN_UNICODE = {ord(sign): f"{chr(92)}u{ord(sign):04x}" for sign in "&<>+="}
SPELLINGS = {
    "header": f"You sent Authorization: Bearer {KEY}",
    "query": f"Nothing is at /v1/chat?api_key={quote(KEY, safe='')}&x=1",
    "body": f"Cannot read {json.dumps({'key': KEY})}",
    "body of a script": f"Cannot read {json.dumps(KEY).replace('/', chr(92) + '/')}",
    "body of a careful host": f"Cannot read {json.dumps(KEY).translate(IN_UNICODE)}",
    "page": f"<p>Unknown key {escape(KEY)}</p>",
}
# What no text may have: any stretch of the key, however it is spelt.
TELLING = {
    spelt[begin : begin + 8]
    for spelt in (
        KEY,
        quote(KEY, safe=""),
        escape(KEY),
        json.dumps(KEY)[1:-1],
        KEY.translate(IN_UNICODE),
    )
    for begin in range(len(spelt) - 7)
}


def assert_clean(text: str, where: str) -> None:
    found = {part for part in TELLING if part in text}
    assert not found, f"{where} tells {found}"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    before = {name: logging.getLogger(name).level for name in (None, "governance", "providers")}
    for name in before:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("kind", "spelling"),
    [
        ("openai_compatible", "header"),
        ("anthropic", "query"),
        ("openai_compatible", "body"),
        ("anthropic", "body of a script"),
        ("openai_compatible", "page"),
    ],
)
async def test_it_stays_with_the_host(
    house: House,
    upstream: Upstream,
    log: pytest.LogCaptureFixture,
    kind: str,
    spelling: str,
) -> None:
    refused = Behaviour(status=500, message=SPELLINGS[spelling])
    broken = Behaviour(fault=Fault.ERROR_EVENT, message=SPELLINGS[spelling], after=1)
    provider = await sync_to_async(_registered)(house, kind)
    upstream.behave("models", refused)

    async with serving(house.key) as served:
        for behaviour, operation in (
            (refused, Operation.CHAT),
            (refused, Operation.STREAM),
            (broken, Operation.STREAM),
        ):
            upstream.behave(NAMES[kind], behaviour)
            answered = await call(served, operation)
            assert answered.error, (behaviour, operation)
            assert "••••" in answered.error["message"]
            told = json.dumps([answered.body, answered.chunks, answered.error], ensure_ascii=False)
            assert_clean(told, "the answer")
            assert_clean(str(answered.headers), "a header")
        await served.application.runtime.providers.breakers.settled()
    await sync_to_async(_look)(provider)

    await sync_to_async(_assert_tables_clean)()
    assert_clean(log.text, "the log")


def _registered(house: House, kind: str) -> Provider:
    base_url = house.upstream.anthropic_base_url if kind == "anthropic" else house.upstream.base_url
    provider = house.provider(FIRST, kind=kind, base_url=base_url, breaker_threshold=3)
    house.model(provider, upstream_name=NAMES[kind])
    make_credential(provider, KEY)
    Channel.objects.create(name="console", kind="console")
    return provider


def _look(provider: Provider) -> None:
    """Whatever else asks the host, and is told of."""
    for result in check_now(provider).results:
        assert_clean(f"{result} {result.said}", "the test of the connection")
        assert "••••" in result.said
    with pytest.raises(discovery.DiscoveryFailed) as caught:
        discovery.discover(provider, refresh=True)
    assert_clean(str(caught.value), "discovery")
    evaluate(timezone.now())


def _assert_tables_clean() -> None:
    # Each of those was written.
    assert Breaker.objects.exclude(message="").exists()
    assert ProviderProbe.objects.exclude(message="").exists()
    assert Alert.objects.exists()
    for model in apps.get_models():
        rows = [str(row) for row in model._default_manager.values()]
        assert_clean("\n".join(rows), model._meta.label)
