"""What nobody sends by hand: NUL, numbers too long, days that are none. Never a failure of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.test import Client, RequestFactory
from django.urls import reverse

from palyra_site.api.root import api
from palyra_site.nul import SAYS
from tests.browser.seed import Seeded, seed
from tests.console.conftest import signed_in

ODD = ("9" * 30, "-1", "é☃", "²", "0001-01-01", "9999-12-31", "a" * 400, "not-a-uuid", "NaN")
# Of every list; of the list of calls, all of them.
OF_EVERY_LIST = ("9" * 30, "é☃", "9999-12-31")
CALLS = "/admin/governance/modelcall/"
ADDRESSES = (
    "/admin/?team=%00",
    "/admin/spend/?by=%00",
    "/admin/governance/team/%00/change/",
    "/admin/auth/user/1%00/password/",
    "/account/sign-in/?next=/%00",
    "/account/forgotten/1-%00/",
    "/team/?x=%00",
    "/team/%00/",
    "/static/%00.css",
    "/readyz?%00",
    "/%00",
)
FORMS = (
    ("/account/sign-in/", "login"),
    ("/account/sign-in/", "next"),
    ("/account/forgotten/", "email"),
    ("/account/password/", "oldpassword"),
    ("/admin/governance/team/add/", "name"),
    ("/admin/governance/apikey/add/", "team"),
    ("/admin/governance/budgetpolicy/add/", "scope"),
    ("/admin/providers/secret/add/", "name"),
    ("/admin/scheduling/cronjob/add/", "zone"),
    ("/admin/auth/user/add/", "username"),
)


@pytest.fixture
def seeded(db: None, settings: Any) -> Seeded:
    """Some of everything."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return seed(calls_made=5)


@pytest.fixture
def browser(seeded: Seeded) -> Client:
    """The administrator's. What fails is an answer, as it is to a browser."""
    client = signed_in(seeded.administrator)
    client.raise_request_exception = False
    return client


def _list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _api() -> Iterator[tuple[str, list[str]]]:
    """Each address of the API that can be looked at, and what its query may name."""
    for path, methods in api.get_openapi_schema(path_prefix="/api/v1/")["paths"].items():
        if "get" in methods:
            parameters = methods["get"].get("parameters", [])
            yield path, [one["name"] for one in parameters if one["in"] == "query"]


def test_nul_in_the_query_of_any_list_is_refused_in_words(browser: Client) -> None:
    for model in admin.site._registry:
        for query in ("q=%00", "q=a&%00=b", "x=1&q=a%00b"):
            response = browser.get(f"{_list_of(model)}?{query}")
            assert response.status_code == 400, model
            assert SAYS in response.content.decode(), model


def test_nul_in_any_address_is(browser: Client) -> None:
    for address in ADDRESSES:
        response = browser.get(address)
        assert response.status_code == 400, address
        assert SAYS in response.content.decode()
        assert "Content-Security-Policy" in response.headers


def test_nul_in_an_address_of_the_api_is_a_problem(browser: Client) -> None:
    for path, names in _api():
        inside = [re.sub(r"\{.*?\}", "%00", path)] if "{" in path else []
        for address in (*inside, *(f"{path}?{name}=%00" for name in names)):
            response = browser.get(address)
            assert response.status_code in {404, 422}, address
            assert response.headers["Content-Type"] == "application/problem+json"


def test_a_percent_sign_and_two_noughts_are_no_nul(browser: Client) -> None:
    assert browser.get("/admin/governance/team/?q=100%2500").status_code == 200


def test_a_sessions_name_with_nul_is_nobodys(browser: Client) -> None:
    browser.cookies[django_settings.SESSION_COOKIE_NAME] = "a" * 16 + "\0"
    assert browser.get("/account/").status_code == 302


def test_nul_in_a_form_is_refused_by_the_form(browser: Client, settings: Any) -> None:
    settings.PALYRA_EMAIL = True
    for address, field in FORMS:
        signed_out = address in {"/account/sign-in/", "/account/forgotten/"}
        client = Client(raise_request_exception=False) if signed_out else browser
        response = client.post(address, {field: "a\0b"})
        assert response.status_code in {200, 302}, address
        assert "\0" not in response.headers.get("Location", "")


def test_what_is_picked_and_can_be_no_row_is_refused_in_words(browser: Client) -> None:
    for model, one in admin.site._registry.items():
        request = RequestFactory().get("/")
        request.user = signed_in_user(browser)
        for action in list(one.get_actions(request))[:1]:
            for picked in ("x", "\0", "9" * 30):
                sent = {"action": action, "_selected_action": [picked]}
                response = browser.post(_list_of(model), sent)
                assert response.status_code < 500, (model, picked)


def signed_in_user(browser: Client) -> Any:
    """Whose browser it is."""
    return browser.get("/account/").wsgi_request.user


def _parameters(one: Any, request: Any) -> set[str]:
    found = {"q", "o", "p"}
    for spec in one.get_changelist_instance(request).filter_specs:
        found |= {name for name in spec.expected_parameters() if name}
    return found


def test_odd_filters_of_the_list_of_calls_are_answered(browser: Client) -> None:
    (model, one) = next(
        (model, one) for model, one in admin.site._registry.items() if _list_of(model) == CALLS
    )
    request = RequestFactory().get(CALLS)
    request.user = signed_in_user(browser)
    parameters = _parameters(one, request)
    assert len(parameters) > 10, model
    for name in sorted(parameters):
        for value in ODD:
            response = browser.get(f"{CALLS}?{quote(name)}={quote(value)}")
            assert response.status_code in {200, 302}, (name, value)


def test_odd_filters_of_every_list_are_looked_for_or_refused(browser: Client) -> None:
    """Asked of the lists themselves, which is quicker than of whole pages."""
    user = signed_in_user(browser)
    for model, one in admin.site._registry.items():
        plain = RequestFactory().get(_list_of(model))
        plain.user = user
        for name in _parameters(one, plain):
            for value in OF_EVERY_LIST:
                request: Any = RequestFactory().get(_list_of(model), {name: value})
                request.user, request._messages = user, _Unsaid()
                try:
                    list(one.get_changelist_instance(request).result_list)
                except IncorrectLookupParameters:
                    # Of which Django makes the same list without filters.
                    continue


class _Unsaid:
    def add(self, *_: Any) -> None:
        """To nobody."""


def test_odd_queries_of_the_api_are_answered(browser: Client) -> None:
    answered: set[int] = set()
    for path, names in _api():
        here = re.sub(r"\{.*?\}", "9" * 30, path)
        asked = [
            here,
            *(f"{here}?{name}={quote(value)}" for name in names for value in OF_EVERY_LIST),
        ]
        for address in asked:
            status = browser.get(address).status_code
            assert status < 500, address
            answered.add(status)
    assert {200, 404, 422} <= answered
