"""Which names Palyra answers to."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings

from tests.access.conftest import text

# Names of hosts are no matter of databases: once is enough.
pytestmark = pytest.mark.any_database
OURS = ["palyra.example", "localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize("host", ["palyra.example", "localhost:8000", "127.0.0.1", "[::1]:8000"])
@override_settings(ALLOWED_HOSTS=OURS)
@pytest.mark.django_db
def test_its_own_names_are_answered(client: Client, host: str) -> None:
    assert client.get("/account/sign-in/", headers={"Host": host}).status_code == 200


@override_settings(ALLOWED_HOSTS=OURS)
def test_another_name_is_told_what_to_set() -> None:
    response = Client().get("/admin/", headers={"Host": "palyra.internal:8443"})
    assert response.status_code == 400
    page = text(response)
    assert "PALYRA_ALLOWED_HOSTS=palyra.internal<" in page
    assert "PALYRA_PUBLIC_URL" in page
    assert response.headers["Content-Security-Policy"] == (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )


@override_settings(ALLOWED_HOSTS=OURS)
def test_what_a_stranger_sends_is_no_part_of_the_page() -> None:
    page = text(Client().get("/", headers={"Host": "<script>alert(1)</script>"}))
    assert "<script>alert" not in page


@override_settings(ALLOWED_HOSTS=OURS)
def test_the_api_says_so_too() -> None:
    response = Client().get("/api/v1/teams", headers={"Host": "elsewhere"})
    assert response.status_code == 400
    assert "PALYRA_ALLOWED_HOSTS" in response.json()["detail"]
