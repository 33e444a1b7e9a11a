"""The pages of what is not there and of what somebody may not do: in words, and with a way on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

NOWHERE = "/account/nowhere/"
NOT_FOUND, REFUSED = "There is nothing here", "Your account may not do that"


def _signed_in(*, is_staff: bool) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("somebody", is_staff=is_staff))
    return client


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("is_staff", "leads_to"),
    [(True, "admin:index"), (False, "team:index"), (None, "account_login")],
)
def test_a_page_that_is_not_there_leads_on(is_staff: bool | None, leads_to: str) -> None:
    client = Client() if is_staff is None else _signed_in(is_staff=is_staff)

    answer = client.get(NOWHERE)

    assert answer.status_code == 404
    said = answer.content.decode()
    assert NOT_FOUND in said
    assert f'class="button primary" href="{reverse(leads_to)}"' in said


@pytest.mark.django_db
def test_what_one_may_not_do_is_refused_in_words() -> None:
    answer = _signed_in(is_staff=True).get(reverse("admin:governance_team_changelist"))

    assert answer.status_code == 403
    assert REFUSED in answer.content.decode()
