"""What an alert is about: a link to where somebody can do something about it."""

from __future__ import annotations

from django.urls import reverse

from governance.models import Alert, BudgetPolicy, BudgetWindow
from providers.display import link, object_link
from providers.models import Provider, ProviderModel


def alert_subject(alert: Alert) -> str:
    """The budget, provider or model that the alert names, as a link; its team's calls where it
    names none of these; empty if there is nothing to go to. Two queries at most."""
    detail = alert.detail if isinstance(alert.detail, dict) else {}
    found = _budget(detail) or _model(detail) or _provider(detail)
    if found or alert.team_id is None:
        return found
    address = reverse("admin:governance_modelcall_changelist")
    return link(f"{address}?team__id__exact={alert.team_id}", f"Calls of {alert.team}")


def _budget(detail: dict[str, object]) -> str:
    window = detail.get("window")
    if isinstance(window, int) and BudgetWindow.objects.filter(pk=window).exists():
        return object_link("governance_budgetwindow", window, f"The window of {detail['policy']}")
    policy = BudgetPolicy.objects.filter(name=str(detail.get("policy", ""))).first()
    return "" if policy is None else object_link("governance_budgetpolicy", policy.pk, policy)


def _model(detail: dict[str, object]) -> str:
    provider, _, name = str(detail.get("model", "")).partition("/")
    row = ProviderModel.objects.filter(provider__name=provider, name=name).first()
    return (
        "" if row is None else object_link("providers_providermodel", row.pk, f"{provider}/{name}")
    )


def _provider(detail: dict[str, object]) -> str:
    row = Provider.objects.filter(name=str(detail.get("provider", ""))).first()
    return "" if row is None else object_link("providers_provider", row.pk, row)
