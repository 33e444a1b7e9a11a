"""Which scheduled prompts ask for a provider's models by name."""

from __future__ import annotations

from collections.abc import Iterator

from providers.models import Provider
from providers.used_by import Use
from scheduling.models import CronJob


class SchedulingUses:
    """A provider's page asks here."""

    def uses_of(self, provider: Provider) -> Iterator[Use]:
        """The prompts that are not paused: two queries."""
        names = set(provider.models.values_list("name", flat=True))
        names |= {f"{provider.name}/{name}" for name in names}
        count = CronJob.objects.filter(enabled=True, model__in=names).count()
        prompts = "scheduled prompt asks" if count == 1 else "scheduled prompts ask"
        yield Use(count=count, says=f"{count} {prompts} for one of its models by name.")

    def has_history(self, provider: Provider) -> bool:
        """A prompt is no account; its runs' calls are."""
        return False
