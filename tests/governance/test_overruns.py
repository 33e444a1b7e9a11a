"""A provider that answers with more than it was allowed: charged, shown, alerted, and seen next."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from governance.admin.story import tell
from governance.alerts.evaluation import evaluate
from governance.calls import execute
from governance.errors import BudgetBlocked
from governance.models import Alert, AlertKind
from providers.usage import Usage
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, install


async def test_what_goes_beyond_the_hold_is_charged_and_told(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = Usage(uncached_input=10, output=600_000)
    install(monkeypatch, first=answer(usage=used), second=answer())
    result = await execute(two.request("cheap"), runtime=two.runtime, settled=True)
    charged = 10 * 1000 + 600_000 * 2000
    assert result.cost == charged > 10**9

    with pytest.raises(BudgetBlocked) as refused:
        await execute(two.request("cheap"), runtime=two.runtime)
    assert refused.value.detail["consumed"] == "1.200010000"

    await two.runtime.stop()
    window = await two.policy.windows.aget()
    assert (window.consumed, window.held) == (charged, 0)
    row = await two.team.calls.filter(status="succeeded").aget()
    assert row.estimate_upper is not None
    assert row.overrun == charged - row.estimate_upper > 0
    assert (await sync_to_async(tell)(row)).overrun == "$1.20"

    await sync_to_async(evaluate)(timezone.now())
    alert = await Alert.objects.aget(kind=AlertKind.OVERRUN)
    assert "1 call to first/cheap went $1.20 beyond what was held" in alert.explanation
