"""What uses a provider or a team is said before it is switched off, and how reliable it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance import keys
from providers.models import Provider, ProviderMetric
from scheduling import jobs
from tests.console.pages import text_of
from tests.console.spent import spent
from tests.support.factories import make_model, make_policy, make_team


def page_of(browser: Client, provider: Provider, **asked: str) -> str:
    address = reverse("admin:providers_provider_change", args=[provider.pk])
    return browser.get(address, asked).content.decode()


def test_a_provider_says_what_uses_it(browser: Client) -> None:
    team = make_team()
    model = make_model(name="small")
    name = model.provider.name
    spent(team, 5, provider=name, model="small")
    make_policy(scope="provider", value=name)
    make_policy(scope="model", value=f"{name}/small")
    make_policy(scope="provider", value=name, enabled=False)
    for asked in ("small", f"{name}/small"):
        jobs.create_job(
            team=team,
            name=f"Job for {asked}",
            prompt="Hello",
            created_by=None,
            now=timezone.now(),
            schedule_kind="every",
            every_seconds=3600,
            model=asked,
        )

    said = text_of(page_of(browser, model.provider))

    # In the card and in the question before it is disabled.
    for words in (
        "1 call was made there in the last 30 days.",
        "2 budgets count it by name.",
        "2 scheduled prompts ask for one of its models by name.",
    ):
        assert said.count(words) == 2, words


def test_a_provider_that_calls_were_made_at_is_not_deleted(browser: Client) -> None:
    used, unused = make_model().provider, make_model().provider
    spent(make_team(), 5, provider=used.name, model="small")

    for provider, status in ((used, 403), (unused, 302)):
        address = reverse("admin:providers_provider_delete", args=[provider.pk])
        assert browser.post(address, {"post": "yes"}).status_code == status
    assert list(Provider.objects.all()) == [used]

    chosen = {"action": "delete_selected", "_selected_action": [used.pk], "post": "yes"}
    browser.post(reverse("admin:providers_provider_changelist"), chosen)
    assert Provider.objects.exists()


def _metric(provider: Provider, hours_ago: int, **fields: Any) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    ProviderMetric.objects.create(provider=provider, model="m", hour=hour, **fields)


def test_reliability_is_drawn_with_a_table(browser: Client) -> None:
    provider = make_model().provider
    _metric(provider, 1, attempts=8, failures={"rate_limited": 2}, latency={"40": 6})
    _metric(provider, 50, attempts=4, failures={})

    html = page_of(browser, provider)

    assert "75.0 % of 8 attempts were answered" in text_of(html)
    assert "rate limited 2" in text_of(html)
    assert 'class="chart"' in html
    assert "83.3 % of 12 attempts were answered" in text_of(page_of(browser, provider, span="7d"))


@pytest.mark.parametrize("span", ["", "24h", "7d", "x"])
def test_a_provider_nobody_called_has_no_chart(browser: Client, span: str) -> None:
    html = page_of(browser, make_model().provider, span=span)

    assert 'class="chart"' not in html


def test_a_team_says_what_disabling_it_stops(browser: Client) -> None:
    team = make_team()
    keys.create(team=team, name="One")
    keys.revoke(keys.create(team=team, name="Two").record)

    page = browser.get(reverse("admin:governance_team_change", args=[team.pk])).content.decode()

    assert "It has 1 live key, 0 scheduled prompts and 0 members." in text_of(page)
    assert f"/governance/budgetpolicy/?team__id__exact={team.pk}" in page
