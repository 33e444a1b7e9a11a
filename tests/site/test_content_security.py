"""Every page says what it may load, and that is nothing from elsewhere."""

from __future__ import annotations

import pytest
from django.test import Client

from palyra_site.content_security import HEADER


@pytest.mark.parametrize(
    "address",
    ["/admin/login/", "/admin/", "/team/sign-in/", "/nowhere/", "/api/v1/docs", "/readyz"],
)
@pytest.mark.django_db
def test_every_answer_has_a_policy(client: Client, address: str) -> None:
    policy = client.get(address).headers[HEADER]
    assert "default-src 'self'" in policy or "default-src 'none'" in policy
    assert "http:" not in policy
    assert "https:" not in policy


@pytest.mark.django_db
def test_the_console_runs_no_inline_script(admin_client: Client) -> None:
    policy = admin_client.get("/admin/").headers[HEADER]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "'unsafe-inline'" not in scripts
    assert "frame-ancestors 'none'" in policy
