"""What the console does with a provider: ask its host, trip and reset its breakers, and show how it
is doing. `ProviderAdmin` inherits and offers all of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from providers import metrics
from providers.admin.actions import object_action
from providers.admin.condition_facts import breaker_facts, metric_rows, probe_fact
from providers.admin.hosts import HostActions
from providers.admin.reliability_facts import reliability
from providers.condition import condition, reset, trip
from providers.models import Breaker, BreakerState, Provider
from providers.used_by import uses_of

MEASURED = timedelta(hours=24)


def _is_tripped(provider: Provider) -> bool:
    return Breaker.objects.filter(provider=provider).exclude(tripped_by="").exists()


def _is_harmed(provider: Provider) -> bool:
    kept = Breaker.objects.filter(provider=provider)
    return kept.exclude(state=BreakerState.CLOSED, failures=0).exists()


def what_tripping_does(provider: Provider) -> str:
    """What no longer works once the provider's breakers are tripped."""
    count = provider.models.filter(enabled=True).count()
    models = "its one model" if count == 1 else f"its {count} models"
    return (
        f"No call goes to this provider until somebody resets it. Calls to {models} go on at "
        "another provider where failover allows it, and are refused otherwise. Calls under way "
        "finish. It is seen everywhere within a second."
    )


class ProviderOperations(HostActions):
    """Mixed into the console's page of a provider. `operation_actions` joins its object actions."""

    operation_actions: tuple[str, ...] = (
        "test_connection",
        "discover_models",
        "trip_breaker",
        "reset_breaker",
    )
    change_form_outer_before_template = "admin/providers/provider/condition.html"
    change_form_outer_after_template = "admin/providers/provider/metrics.html"

    def object_context(self, request: HttpRequest, obj: Provider) -> dict[str, Any]:
        return {
            **self._condition_context(obj, request.GET.get("span", "")),
            "to_review": self.listing_to_review(request, obj),
        }

    @object_action(
        label="Trip breaker",
        permission="operate",
        icon="power_off",
        tone="danger",
        consequence=what_tripping_does,
        applies=lambda provider: not _is_tripped(provider),
    )
    def trip_breaker(self, request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Take the provider out of use."""
        trip(provider, by=request.user.get_username())
        return f"{provider} is out of use until it is reset."

    @object_action(
        label="Reset breaker",
        permission="operate",
        icon="restart_alt",
        consequence="Calls go to this provider again at once. If it is still not well, the calls "
        "until its breaker opens again fail, or go on elsewhere.",
        applies=_is_harmed,
    )
    def reset_breaker(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        """Let calls through again."""
        reset(provider)
        return f"Calls go to {provider} again."

    def _condition_context(self, provider: Provider, span: str) -> dict[str, Any]:
        now = timezone.now()
        found = condition(provider, now)
        measured = metrics.summaries(since=now - MEASURED)
        return {
            "condition": found,
            "uses": uses_of(provider),
            "reliability": reliability(provider, span, now),
            "breaker_facts": breaker_facts(found, now),
            "probe_fact": probe_fact(found),
            "metric_rows": metric_rows(one for one in measured if one.provider == provider.name),
        }
