"""The console's list of calls on a ledger of a million, on SQLite and on PostgreSQL.

    .venv/bin/python -m benchmarks.calls [--rows 1000000] [--database sqlite]

Printed is the middle of several times for what the list asks of the database: the count and the
first page, narrowed in each way there is.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.ledger import filled, measure_each, say

TIMES = 5
QUERIES = (
    "",
    "status__exact=failed",
    "status__exact=succeeded",
    "status__exact=denied",
    "team__id__exact={team}",
    "team__id__exact={team}&status__exact=failed",
    "team__id__exact={rare_team}",
    "model_used={provider}/{model}",
    "provider={provider}",
    "key=Key 1",
    "person=person-1",
    "in_session=no-such-session",
    "cost_from=0.001",
    "cost_from=0.001&team__id__exact={rare_team}",
    "cost_from=0.0000001&cost_to=0.0000002",
    "period=2026-01-10",
    "period=2026-01-10&status__exact=failed",
    "surface__exact=console",
    "cached__exact=1",
    "q={call}",
    "q={model}",
    "q=Team",
    "q=Key 1",
    "q=person-1",
    "q=no such thing",
    "o=-6&q={model}",
    "p=400",
)


def main() -> None:
    """Measure each database in a process of its own."""
    measure_each("benchmarks.calls", "Measure the list of a large ledger.", _measure)


def _measure(rows: int) -> None:
    filled(rows, vacuum=True)
    names = _names()
    for query in QUERIES:
        asked = query.format(**names)
        times = [_seconds(asked) for _ in range(TIMES)]
        found = _list(asked)
        more = "more than " if found.has_more else ""
        say(
            f"{statistics.median(times) * 1000:8.1f} ms  {asked or '(all)'}: "
            f"{more}{found.result_count:,}"
        )


def _names() -> dict[str, Any]:
    from django.db.models import Count

    from governance.models import ModelCall
    from providers.models import Provider, ProviderModel

    call = ModelCall.objects.latest("admitted_at")
    provider = Provider.objects.create(name=call.provider, kind="deterministic")
    ProviderModel.objects.create(provider=provider, name=call.model)
    teams = list(ModelCall.objects.values("team").annotate(n=Count("pk")).order_by("-n"))
    return {
        "call": call.pk,
        "provider": call.provider,
        "model": call.model,
        "team": teams[0]["team"],
        "rare_team": teams[-1]["team"],
    }


def _seconds(query: str) -> float:
    began = time.perf_counter()
    _list(query)
    return time.perf_counter() - began


def _list(query: str) -> Any:
    from django.contrib import admin
    from django.contrib.auth.models import AnonymousUser
    from django.test import RequestFactory

    from governance.models import ModelCall

    request = RequestFactory().get(f"/admin/governance/modelcall/?{query}")
    request.user = AnonymousUser()
    request.user.has_perm = lambda *_: True  # type: ignore[method-assign]
    changelist = admin.site._registry[ModelCall].get_changelist_instance(request)
    list(changelist.result_list)
    return changelist


if __name__ == "__main__":
    main()
