"""Every list takes as many queries for many rows as for a few."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib import admin
from django.db import connection
from django.db.models import Model, UUIDField
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.browser.seed import Seeded

# More than a page has.
COPIES = 40
# Of these there is one row, always.
SINGLE = {"governance.governancesettings", "providers.failoverpolicy"}
# A filter's own queries and a page's; a list that has more reads something row by row.
MOST_QUERIES = 30

# What must differ from the row that is copied, by the number of the copy.
DIFFERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "auth.user": lambda n: {"username": f"copy-{n}"},
    "auth.group": lambda n: {"name": f"Copy {n}"},
    "providers.provider": lambda n: {"name": f"copy-{n}"},
    "providers.providermodel": lambda n: {"name": f"copy-{n}", "is_default": False},
    "providers.secret": lambda n: {"name": f"copy-{n}"},
    "governance.team": lambda n: {"slug": f"copy-{n}", "name": f"Copy {n}"},
    "governance.apikey": lambda n: {"public_id": f"copy-{n}", "name": f"Copy {n}"},
    "governance.price": lambda n: {"effective_from": timezone.now() - timedelta(days=900 + n)},
    "governance.budgetpolicy": lambda n: {"name": f"Copy {n}"},
    "governance.budgetwindow": lambda n: {"starts_at": timezone.now() - timedelta(days=900 + n)},
    "governance.approval": lambda n: {"status": "denied"},
    "governance.alert": lambda n: {"key": f"copy-{n}", "resolved_at": timezone.now()},
    "governance.channel": lambda n: {"name": f"Copy {n}"},
    "scheduling.cronjob": lambda n: {"name": f"Copy {n}"},
    "scheduling.cronrun": lambda n: {
        "slot": timezone.now() - timedelta(days=900 + n),
        "status": "succeeded",
        "lane": None,
    },
    "scheduling.exclusioncalendar": lambda n: {"name": f"Copy {n}"},
    "scheduling.maintenancejob": lambda n: {"name": f"copy-{n}"},
}


def _copy(model: type[Model], number: int) -> Any:
    row: Any = model._default_manager.order_by("pk")[0]
    key = model._meta.pk
    row.pk = uuid4() if isinstance(key, UUIDField) else None
    differs = DIFFERS.get(model._meta.label_lower)
    for name, value in (differs(number) if differs else {}).items():
        setattr(row, name, value)
    for field in model._meta.concrete_fields:
        if field.unique and not field.primary_key and isinstance(getattr(row, field.name), UUID):
            setattr(row, field.name, uuid4())
    return row


def _queries(browser: Client, model: type[Model]) -> int:
    meta = model._meta
    with CaptureQueriesContext(connection) as found:
        response = browser.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"))
    assert response.status_code == 200, meta.label
    return len(found)


def test_no_list_reads_row_by_row(seeded: Seeded, browser: Client) -> None:
    models = [one for one in admin.site._registry if one._meta.label_lower not in SINGLE]
    before = {model: _queries(browser, model) for model in models}
    for model in models:
        model._default_manager.bulk_create(_copy(model, number) for number in range(COPIES))

    grown = []
    for model in models:
        count = _queries(browser, model)
        # One more for each relation that the few rows happened not to have.
        if count > before[model] + 2 or count > MOST_QUERIES:
            grown.append(f"{model._meta.label}: {before[model]} queries, then {count}")

    assert not grown, "\n".join(grown)
