"""A house with a few providers, whose rows a test makes one by one, and how its calls went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from governance.models import ModelCall
from providers.models import Provider, ProviderModel
from tests.matrix.cells import held
from tests.matrix.operations import Answered, Operation, ask
from tests.support.factories import (
    make_credential,
    make_model,
    make_price,
    make_provider,
    make_secret,
)
from tests.support.serving import Served
from tests.support.upstream import Upstream

MODEL = "steady"
FIRST, SECOND = "first", "second"
COOLDOWN = 0.6


@dataclass(slots=True)
class House:
    """The rows that a test needs, made one by one."""

    upstream: Upstream
    key: str

    def provider(self, name: str, *, credentials: tuple[str, ...] = (), **fields: Any) -> Provider:
        """A provider whose model the upstream knows by the provider's name."""
        defaults: dict[str, Any] = {
            "base_url": self.upstream.base_url,
            "kind": "openai_compatible",
            "max_retries": 0,
            "retry_backoff_ms": 1,
            "breaker_cooldown": COOLDOWN,
            "cache_seconds": 0,
        }
        provider = make_provider(**{**defaults, "name": name, **fields})
        for text in credentials:
            make_credential(provider, secret=make_secret(text, name=text))
        return provider

    def model(self, provider: Provider, **fields: Any) -> ProviderModel:
        model = make_model(
            **{
                "provider": provider,
                "name": MODEL,
                "upstream_name": provider.name,
                "max_output_tokens": 900,
                **fields,
            }
        )
        make_price(model)
        return model

    def pair(self, **fields: Any) -> None:
        """Two providers of the same model, the first of them the cheaper."""
        self.model(self.provider(FIRST, **fields), cost_tier=1)
        self.model(self.provider(SECOND), cost_tier=2)


async def call(served: Served, operation: Operation = Operation.CHAT) -> Answered:
    return await ask(served.client, operation, MODEL)


async def row_of(answered: Answered, served: Served) -> ModelCall:
    """The ledger's row of a call, once it is settled; nothing is held then."""
    await served.stop()
    assert await held() == 0
    return await ModelCall.objects.aget(pk=answered.headers["x-palyra-call-id"])


async def attempts_of(answered: Answered, served: Served) -> list[tuple[str, str, str]]:
    """Each attempt's provider, outcome and failure class."""
    row = await row_of(answered, served)
    return [(one["provider"], one["outcome"], one["failure_class"]) for one in row.attempts]


def by(answered: Answered) -> str:
    """The provider that answered."""
    assert answered.status == 200, answered.error
    return answered.headers["x-palyra-model"].partition("/")[0]
