"""What of governance uses a provider: calls lately, and budgets that count it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from governance.models import BudgetPolicy, BudgetScope, ModelCall, UsageDay
from governance.usage.reports import totals
from providers.models import Provider
from providers.used_by import Use

LATELY = timedelta(days=30)


class GovernanceUses:
    """A provider's page asks here."""

    def uses_of(self, provider: Provider) -> Iterator[Use]:
        """Calls of the last thirty days, and budgets: four queries at most."""
        now = timezone.now()
        found = totals(
            since=(now - LATELY).replace(minute=0, second=0, microsecond=0),
            until=now,
            where={"provider": provider.name},
        )
        calls = "call was" if found.calls == 1 else "calls were"
        yield Use(
            count=found.calls,
            says=f"{found.calls:,} {calls} made there in the last 30 days.",
            is_history=True,
        )
        policies = BudgetPolicy.objects.filter(
            Q(scope=BudgetScope.PROVIDER, value=provider.name)
            | Q(scope=BudgetScope.MODEL, value__startswith=f"{provider.name}/"),
            enabled=True,
        ).count()
        budgets = "budget counts" if policies == 1 else "budgets count"
        yield Use(count=policies, says=f"{policies} {budgets} it by name.")

    def has_history(self, provider: Provider) -> bool:
        """Whether a call was ever made there, or is under way."""
        if UsageDay.objects.filter(provider=provider.name).exists():
            return True
        return bool(ModelCall.objects.filter(price__model__provider=provider).exists())
