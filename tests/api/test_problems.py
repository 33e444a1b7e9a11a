"""Every way to be refused is application/problem+json, and says what to do."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import IntegrityError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings

from governance.models import Team
from palyra_site.api.middleware import ProblemMiddleware
from tests.api.callers import Caller
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults

# How refusals look is no matter of databases; what none can store or look for is.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "line 1, column 2"),
        (b'{"slug": "a",}', "line 1"),
        (b"[1, 2", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"slug": NaN}', "not JSON"),
        (b'{"slug": Infinity}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"slug=new&name=New", "not JSON"),
    ],
)
def test_malformed_json_is_400(
    organisation: Caller, nothing_stored: NothingStored, body: bytes, words: str
) -> None:
    with nothing_stored():
        problem = assert_problem(organisation.post("/teams", body), 400, "malformed_json")
    assert words in problem["detail"]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_422(organisation: Caller, body: bytes) -> None:
    found = faults(organisation.post("/teams", body))
    assert list(found) == [None]
    assert "JSON object" in found[None]


def test_all_faults_of_a_body_are_told_at_once(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    with nothing_stored():
        found = faults(
            organisation.post(
                "/providers",
                {
                    "kind": 1,
                    "enabled": "perhaps",
                    "rehearsal_latency_ms": 1.5,
                    "connect_timeout": "soon",
                    "credentials": [{"secret": 5}],
                    "colour": "red",
                },
            )
        )
    assert found == {
        "name": "This field is required.",
        "kind": "Give a string.",
        "enabled": "Give true or false.",
        "rehearsal_latency_ms": "Give a whole number.",
        "connect_timeout": "Give a number.",
        "credentials.0.secret": "Give a string.",
        "colour": "There is no field of this name.",
    }


def test_all_faults_of_the_models_rules_are_told_at_once(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    with nothing_stored():
        found = faults(
            organisation.post("/teams", {"slug": "not a slug!", "name": "", "zone": "Mars/Base"})
        )
    assert found.keys() == {"slug", "name", "zone"}
    assert "Europe/Prague" in found["zone"]


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
@pytest.mark.every_database
def test_text_that_cannot_be_stored_is_422(
    organisation: Caller, nothing_stored: NothingStored, text: str
) -> None:
    with nothing_stored():
        found = faults(organisation.post("/teams", {"slug": "a", "name": text, text: [text]}))
    assert found.keys() >= {"name"}
    assert "cannot be stored" in found["name"]


@pytest.mark.every_database
def test_text_that_cannot_be_looked_for_is_422(organisation: Caller) -> None:
    assert faults(organisation.get("/calls", model="a\x00b")).keys() == {"model"}


def test_a_query_with_an_unknown_name_is_422(organisation: Caller) -> None:
    found = faults(organisation.get("/calls", statuss="failed", page="2"))
    assert found == {
        "page": "There is no field of this name.",
        "statuss": "There is no field of this name.",
    }


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"status": "lost"}, "status"),
        ({"since": "yesterday"}, "since"),
        ({"since": "1700000000"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "until"),
        ({"run_id": "1"}, "run_id"),
    ],
)
def test_a_bad_filter_is_422(organisation: Caller, query: dict[str, str], field: str) -> None:
    assert faults(organisation.get("/calls", **query)).keys() == {field}


@pytest.mark.parametrize(
    "path", ["", "/nothing", "/teams/", "/providers/a%00b", "/providers/no such", "/jobs/1"]
)
def test_an_unknown_address_is_404(organisation: Caller, path: str) -> None:
    assert_problem(organisation.get(path or "/"), 404, "not_found")


def test_every_address_under_api_is_covered() -> None:
    for path in ("/api/", "/api/v2/teams", "/api/v1/../v1/none"):
        assert_problem(Client().get(path), 404, "not_found")


@pytest.mark.every_database
def test_a_number_too_large_for_any_row_is_404(organisation: Caller) -> None:
    for number in ("9" * 30, "9" * 5000):
        response = organisation.patch(f"/policies/{number}", {"name": "x"})
        assert_problem(response, 404)


def test_a_missing_row_is_404_in_words(organisation: Caller) -> None:
    problem = assert_problem(organisation.get("/providers/none"), 404, "not_found")
    assert "“none”" in problem["detail"]


def test_a_wrong_method_is_405_and_says_which_are_right(organisation: Caller) -> None:
    response = organisation.send("PUT", "/teams", {})
    problem = assert_problem(response, 405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "POST"}
    assert "PUT" in problem["detail"]


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100)
def test_a_body_that_is_too_large_is_413(
    organisation: Caller, nothing_stored: NothingStored
) -> None:
    with nothing_stored():
        response = organisation.post("/teams", {"slug": "a", "name": "x" * 200})
    problem = assert_problem(response, 413)
    assert "PALYRA_REQUEST_BODY_LIMIT" in problem["detail"]


@override_settings(ALLOWED_HOSTS=["palyra.example"])
def test_a_refusal_of_another_middleware_is_a_problem() -> None:
    assert_problem(Client().get("/api/v1/teams", headers={"Host": "elsewhere"}), 400)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have saving a team raise `error`."""

    def save(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(Team, "save", save)


NEW_TEAM = {"slug": "new", "name": "New"}


@pytest.mark.parametrize("debug", [False, True])
def test_a_failure_is_500_without_its_traceback(
    organisation: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: Any,
    debug: bool,
) -> None:
    settings.DEBUG = debug
    fail_with(monkeypatch, RuntimeError("the secret reason"))
    with caplog.at_level(logging.ERROR, logger="palyra.api"):
        response = organisation.post("/teams", NEW_TEAM)
    problem = assert_problem(response, 500, "internal_error")
    assert "secret reason" not in response.content.decode()
    assert "Traceback" not in response.content.decode()
    assert problem["request_id"] in caplog.text
    assert "the secret reason" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (IntegrityError("UNIQUE constraint failed"), 409),
        (OperationalError("database is locked"), 503),
        (SuspiciousOperation("odd"), 400),
    ],
)
def test_other_failures_have_a_status_of_their_own(
    organisation: Caller, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    fail_with(monkeypatch, error)
    response = organisation.post("/teams", NEW_TEAM)
    assert_problem(response, status)
    assert str(error) not in response.content.decode()
    assert ("Retry-After" in response.headers) == (status in {409, 503})


def test_the_middleware_turns_html_into_a_problem_and_keeps_what_matters() -> None:
    def broken(_request: HttpRequest) -> HttpResponse:
        response = HttpResponse("<h1>Broken</h1>", status=503, headers={"Retry-After": "7"})
        response.set_cookie("kept", "yes")
        return response

    response: Any = ProblemMiddleware(broken)(RequestFactory().get("/api/v1/teams"))
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "7"
    assert "kept" in response.cookies
    assert json.loads(response.content)["status"] == 503


def test_the_middleware_leaves_everything_else_alone() -> None:
    html = HttpResponse("<h1>Nothing here</h1>", status=404)
    response = ProblemMiddleware(lambda _request: html)(RequestFactory().get("/admin/nothing"))
    assert response is html
    assert "X-Request-ID" not in response.headers


def test_nothing_is_cached(organisation: Caller) -> None:
    for path in ("/teams", "/nothing"):
        assert organisation.get(path).headers["Cache-Control"] == "no-store"


def test_every_response_has_a_request_id_of_its_own(organisation: Caller) -> None:
    ids = {organisation.get("/teams").headers["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
