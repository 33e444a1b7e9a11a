"""What the system writes, nobody writes in the console: not even a superuser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from governance.models import BudgetWindow, ModelCall, ProcessHeartbeat
from scheduling.models import CronRun
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in

# Who may write is asked of Python: once is enough.
pytestmark = pytest.mark.any_database
WRITTEN_BY_THE_SYSTEM = [ModelCall, BudgetWindow, CronRun, ProcessHeartbeat]


def _name(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


@pytest.fixture
def root(seeded: Seeded) -> Client:
    return signed_in(seeded.administrator)


@pytest.mark.parametrize("model", WRITTEN_BY_THE_SYSTEM)
def test_nothing_is_added(root: Client, model: Any) -> None:
    before = list(model.objects.values().order_by("pk"))
    address = reverse(f"admin:{_name(model)}_add")

    assert root.get(address).status_code == 403
    assert root.post(address, {}).status_code == 403
    assert list(model.objects.values().order_by("pk")) == before


@pytest.mark.parametrize("model", WRITTEN_BY_THE_SYSTEM)
def test_nothing_is_changed_or_deleted(root: Client, model: Any) -> None:
    before = list(model.objects.values().order_by("pk"))
    key = before[0]["id"]
    page = reverse(f"admin:{_name(model)}_change", args=[key])
    sent = dict.fromkeys(before[0], "1")

    assert root.get(page).status_code == 200
    assert root.post(page, sent).status_code == 403
    delete = reverse(f"admin:{_name(model)}_delete", args=[key])
    assert root.post(delete, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [key], "post": "yes"}
    root.post(reverse(f"admin:{_name(model)}_changelist"), chosen)
    assert list(model.objects.values().order_by("pk")) == before


@pytest.mark.parametrize("model", WRITTEN_BY_THE_SYSTEM)
def test_its_page_has_no_field_to_write_in(root: Client, model: Any) -> None:
    key = model.objects.order_by("pk").values_list("pk", flat=True)[0]

    response = root.get(reverse(f"admin:{_name(model)}_change", args=[key]))

    assert not response.context["adminform"].form.fields
    assert 'name="_save"' not in response.content.decode()


def test_what_has_a_history_is_not_deleted(root: Client, seeded: Seeded) -> None:
    for name, key in (
        ("governance_team", seeded.teams[0].pk),
        ("scheduling_cronjob", seeded.job.pk),
        ("governance_budgetpolicy", BudgetWindow.objects.values_list("policy")[0][0]),
        ("governance_apikey", seeded.call.api_key_id),
    ):
        response = root.post(reverse(f"admin:{name}_delete", args=[key]), {"post": "yes"})
        assert response.status_code == 403, name


def test_the_queues_own_pages_are_gone(root: Client) -> None:
    assert not [model for model in admin.site._registry if model._meta.app_label == "django_q"]
    assert root.get("/admin/django_q/schedule/").status_code == 404
    assert root.get("/admin/django_q/").status_code == 404
