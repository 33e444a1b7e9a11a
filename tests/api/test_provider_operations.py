"""Testing, discovering and tripping providers through the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from governance.models import Price
from providers.metrics import MetricsRecorder
from providers.models import Breaker, Provider, ProviderModel
from tests.api.callers import Caller, body_of, person, signed_in
from tests.api.problems import assert_problem, faults
from tests.providers.host import KEY, Host, hosting
from tests.support.factories import make_credential, make_model, make_provider, make_remote

# What hosts answer is no matter of databases; what was counted of them is.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
PRICED = {"id": "priced", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting("gpt-small", PRICED, key=KEY) as host:
        yield host


@pytest.fixture
def acme(host: Host) -> Provider:
    provider = make_remote(name="acme", base_url=host.base_url)
    make_credential(provider, KEY)
    return provider


def test_a_connection_is_tested(organisation: Caller, acme: Provider) -> None:
    body = body_of(organisation.post("/providers/acme/test-connection"))

    (result,) = body.pop("results")
    assert body == {"provider": "acme", "ok": True, "latency_ms": result["latency_ms"]}
    assert result["ok"] is True
    assert result["credential"] == acme.credentials.get().secret.name


def test_what_is_wrong_with_a_connection_is_part_of_the_answer(
    organisation: Caller, acme: Provider, host: Host
) -> None:
    host.key = "another"

    reply = organisation.post("/providers/acme/test-connection")

    assert reply.status_code == 200
    (result,) = body_of(reply)["results"]
    assert (result["failure_class"], result["http_status"]) == ("auth_invalid", 401)
    assert "refused the key" in result["cause"]
    assert "enter it again" in result["advice"]
    assert KEY not in reply.content.decode()


def test_health_before_and_after_a_look(organisation: Caller, acme: Provider) -> None:
    before = body_of(organisation.get("/providers/acme/health"))
    assert before["probe"] is None
    assert before["well"] is True

    organisation.post("/providers/acme/test-connection")

    after = body_of(organisation.get("/providers/acme/health"))
    assert after["probe"]["ok"] is True
    assert after["probe"]["checked_at"].endswith("Z")
    assert [one["usable"] for one in after["credentials"]] == [True]
    assert [(one["state"], one["lets"]) for one in after["breakers"]] == [("closed", "pass")]


def test_a_provider_without_credentials_has_one_breaker(organisation: Caller) -> None:
    make_provider(name="rehearsal")

    health = body_of(organisation.get("/providers/rehearsal/health"))

    assert health["credentials"] == []
    assert [one["credential"] for one in health["breakers"]] == [""]


def test_breakers_are_tripped_and_reset(organisation: Caller, acme: Provider) -> None:
    tripped = body_of(organisation.post("/providers/acme/breaker", {"action": "trip"}))

    (breaker,) = tripped["breakers"]
    assert (breaker["state"], breaker["lets"]) == ("open", "refuse")
    assert breaker["tripped_by"] == "administrator"
    assert tripped["well"] is False

    reset = body_of(organisation.post("/providers/acme/breaker", {"action": "reset"}))
    assert reset["breakers"][0]["state"] == "closed"
    assert reset["well"] is True
    assert Breaker.objects.count() == 1


@pytest.mark.parametrize("body", [{}, {"action": "open"}, {"action": None}])
def test_nothing_else_can_be_done_to_a_breaker(
    organisation: Caller, acme: Provider, body: Any
) -> None:
    assert faults(organisation.post("/providers/acme/breaker", body)).keys() == {"action"}


def test_discovery_proposes_and_changes_nothing(
    organisation: Caller, acme: Provider, host: Host
) -> None:
    body = body_of(organisation.post("/providers/acme/discover", {}))

    assert body["complete"] is True
    small, priced = body["models"]
    assert (small["standing"], small["advised"], small["role"]) == ("new", True, "chat")
    assert small["price"] is None
    assert "set a price yourself" in small["price_says"]
    assert priced["price"]["uncached_input"] == "1"
    assert (priced["price"]["output"], priced["price"]["source"]) == ("2", "discovery: acme")
    assert priced["price_standing"] == "new"
    organisation.post("/providers/acme/discover", {})
    assert len(host.asked) == 1
    organisation.post("/providers/acme/discover", {"refresh": True})
    assert len(host.asked) == 2
    assert not ProviderModel.objects.exists()


def test_a_host_that_says_nothing_is_a_bad_gateway(
    organisation: Caller, acme: Provider, host: Host
) -> None:
    host.status = 404

    problem = assert_problem(organisation.post("/providers/acme/discover", {}), 502, "bad_gateway")

    assert "such as /v1" in problem["detail"]


def test_what_is_picked_is_taken_over(organisation: Caller, acme: Provider) -> None:
    organisation.post("/providers/acme/discover", {})

    body = body_of(organisation.post("/providers/acme/discover/apply", {"models": ["priced"]}))

    assert body == {
        "created": ["priced"],
        "updated": [],
        "unchanged": [],
        "priced": ["priced"],
        "unpriced": [],
        "says": "1 model added. 1 price set.",
    }
    assert Price.objects.get().uncached_input == 10**9


def test_without_picks_all_that_is_advised_is_taken_over(
    organisation: Caller, acme: Provider
) -> None:
    make_model(provider=acme, name="priced", context_window=9000)
    organisation.post("/providers/acme/discover", {})

    body = body_of(organisation.post("/providers/acme/discover/apply", {"prices": False}))

    assert body["created"] == ["gpt-small"]
    assert body["priced"] == []
    assert ProviderModel.objects.get(name="priced").context_window == 9000


def test_bad_picks_are_refused_all_at_once(organisation: Caller, acme: Provider) -> None:
    early = organisation.post("/providers/acme/discover/apply", {})
    assert "Discover the host's models first" in faults(early)["models"]
    organisation.post("/providers/acme/discover", {})

    reply = organisation.post(
        "/providers/acme/discover/apply", {"models": ["priced", "one", "two"]}
    )

    assert [fault["field"] for fault in assert_problem(reply, 422)["errors"]] == ["models"] * 2
    assert not ProviderModel.objects.exists()


@pytest.mark.every_database
def test_metrics(organisation: Caller, acme: Provider) -> None:
    recorder = MetricsRecorder()
    recorder.answered(acme.pk, "small", latency_ms=200, first_token_ms=50, output_tokens=100)
    recorder.failed(acme.pk, "small", "rate_limited")
    recorder.flush()

    (metric,) = body_of(organisation.get("/provider-metrics", hours=1))["items"]

    assert (metric["provider"], metric["model"], metric["attempts"]) == ("acme", "small", 2)
    assert metric["failures"] == {"rate_limited": 1}
    assert metric["latency_p95"] >= metric["latency_p50"] > 0


@pytest.mark.parametrize("hours", ["0", "-1", "x", "100000"])
def test_hours_that_cannot_be(organisation: Caller, hours: str) -> None:
    assert faults(organisation.get("/provider-metrics", hours=hours)).keys() == {"hours"}


TAKING_OVER = (
    "providers.change_provider",
    "providers.add_providermodel",
    "providers.change_providermodel",
)
OPERATIONS = [
    ("GET", "/providers/acme/health", None, ("providers.view_provider",)),
    ("POST", "/providers/acme/test-connection", None, ("providers.change_provider",)),
    ("POST", "/providers/acme/breaker", {"action": "trip"}, ("providers.change_provider",)),
    ("POST", "/providers/acme/discover", {}, ("providers.change_provider",)),
    (
        "POST",
        "/providers/acme/discover/apply",
        {"models": ["x"]},
        (*TAKING_OVER, "governance.add_price"),
    ),
    ("GET", "/provider-metrics", None, ("providers.view_provider",)),
]


@pytest.mark.parametrize(("method", "path", "body", "permissions"), OPERATIONS)
def test_each_takes_its_permissions(  # noqa: PLR0917
    method: str,
    path: str,
    body: Any,
    permissions: tuple[str, ...],
    acme: Provider,
    host: Host,
    integration: Caller,
) -> None:
    assert_problem(integration.send(method, path, body), 403)
    for missing in permissions:
        others = (one for one in permissions if one != missing)
        nearly = signed_in(person(f"without-{missing}", "auth.view_user", *others))
        problem = assert_problem(nearly.send(method, path, body), 403)
        assert missing in problem["detail"]
    assert not host.asked
    assert not Breaker.objects.exists()

    allowed = signed_in(person("allowed", *permissions))
    assert allowed.send(method, path, body).status_code in {200, 422}


def test_models_can_be_taken_over_without_the_right_to_set_prices(acme: Provider) -> None:
    caller = signed_in(person("registrar", *TAKING_OVER))
    caller.post("/providers/acme/discover", {})

    reply = caller.post("/providers/acme/discover/apply", {"models": ["priced"], "prices": False})

    assert body_of(reply)["created"] == ["priced"]
    assert not Price.objects.exists()


@pytest.mark.parametrize(("method", "path", "body", "permissions"), OPERATIONS[:-1])
def test_a_provider_that_is_not_there(
    organisation: Caller, method: str, path: str, body: Any, permissions: Any
) -> None:
    problem = assert_problem(organisation.send(method, path, body), 404)

    assert "“acme”" in problem["detail"]
