"""What of providers and governance is in the audit trail."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.utils.crypto import salted_hmac

from governance.audit.difference import Changes, origin
from governance.audit.recording import record
from governance.audit.registry import exact_dollars
from governance.audit.tracking import track
from governance.audit.watching import BulkWrites
from governance.models import (
    Alert,
    ApiKey,
    Approval,
    BudgetMetric,
    BudgetPolicy,
    Channel,
    GovernanceSettings,
    Membership,
    Price,
    PriceTier,
    Team,
)
from providers import vault
from providers.models import Credential, FailoverPolicy, Provider, ProviderModel, Secret
from providers.operated import operated
from providers.versioned import watch

ALERT_FIELDS = ("acknowledged_by", "acknowledged_at", "muted_until", "resolved_at")
WHOLE: tuple[type[Model], ...] = (
    Provider,
    ProviderModel,
    Credential,
    Team,
    Membership,
    Price,
    PriceTier,
)
BULK_WRITES = BulkWrites()


def register() -> None:
    """Track the models, the bulk writes, and what else operators do. Once a process."""
    for model in WHOLE:
        track(model)
    track(BudgetPolicy, told=dict.fromkeys(("soft_limit", "hard_limit"), _limit))
    track(Approval, told={"amount": _asked_for})
    track(FailoverPolicy, one_row=True)
    track(GovernanceSettings, one_row=True)
    track(Secret, secret={"ciphertext", "last_four"}, compared={"ciphertext": print_of_text})
    track(ApiKey, secret={"secret_hash"})
    track(Channel, shown={"url": origin})
    # They come, are seen again and go by themselves; what people say of them is what counts.
    track(Alert, *ALERT_FIELDS, by_people_only=True)
    watch(BULK_WRITES)
    operated.connect(_record_operation)


def _limit(policy: BudgetPolicy, amount: int) -> int | str:
    return exact_dollars(amount) if policy.metric == BudgetMetric.COST else amount


def _asked_for(approval: Approval, amount: int) -> int | str:
    return _limit(approval.policy, amount)


def print_of_text(ciphertext: str) -> str:
    """The same for the same secret under whichever key, so that a rotation changes none."""
    if not ciphertext:
        return ""
    try:
        text = vault.decrypt(ciphertext).text
    except vault.VaultError:
        text = ciphertext
    return salted_hmac("palyra.audit", text, algorithm="sha256").hexdigest()


def _record_operation(*, row: Any, action: str, changes: Changes, **_: Any) -> None:
    record(action, row, changes)
