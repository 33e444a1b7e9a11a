"""Calls that are long, and what they take with and without their tokens counted."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from governance import tokenizers
from governance.calls import CallRequest
from governance.calls.planning import CallPlan, Spending, plan
from governance.models import BudgetPolicy
from governance.parsed_request import bound_by
from providers.models import Provider, ProviderKind, ProviderModel
from tests.governance.scenes import TwoProviders

OPENAI = "https://api.openai.com/v1"
O200K = "o200k_base"
# Nano-dollars for each token of the cheap model.
INPUT, OUTPUT = 1_000, 2_000
PROSE = "The quick brown fox jumps over the lazy dog, and nobody is surprised by that. " * 40
Counted = list[str]


async def moved(
    two: TwoProviders,
    provider: Provider,
    model: ProviderModel,
    name: str,
    base_url: str = OPENAI,
) -> None:
    await Provider.objects.filter(pk=provider.pk).aupdate(
        kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base_url
    )
    await ProviderModel.objects.filter(pk=model.pk).aupdate(upstream_name=name)
    await two.changed()


async def limit(two: TwoProviders, **fields: Any) -> None:
    await BudgetPolicy.objects.filter(pk=two.policy.pk).aupdate(**fields)
    await two.changed()


def asking(two: TwoProviders, model: str = "auto", **body: Any) -> CallRequest:
    return two.request(model, messages=[{"role": "user", "content": PROSE}], **body)


def planned(two: TwoProviders, request: CallRequest) -> CallPlan:
    return plan(request, two.runtime.snapshot, timezone.now())


def loose(two: TwoProviders, request: CallRequest) -> int:
    """What the call may cost as its bytes bound it."""
    cost = Spending(planned(two, request).route.chosen).demand.cost
    assert cost is not None
    return cost


def tight(two: TwoProviders, request: CallRequest, encoding: str = O200K) -> int:
    """What it may cost as its tokens are counted."""
    asked = planned(two, request).asked
    saved = asked.input_bound - bound_by(asked, tokenizers.counter(encoding))
    assert saved > 1000
    return loose(two, request) - saved * INPUT
