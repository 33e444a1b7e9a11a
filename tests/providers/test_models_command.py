"""`palyra models`: each subcommand in words and in JSON, with its exit status."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from governance.models import Price
from providers.metrics import MetricsRecorder
from providers.models import Breaker, Provider, ProviderModel
from tests.providers.host import KEY, Host, hosting
from tests.support.databases import own_database
from tests.support.factories import make_credential, make_model, make_provider, make_remote
from tests.support.processes import REPOSITORY

pytestmark = pytest.mark.django_db


def says(*arguments: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("models", *arguments, stdout=out)
    return out.getvalue()


def told(*arguments: str) -> Any:
    """What it prints as JSON."""
    return json.loads(says(*arguments, "--json"))


def refused(*arguments: str, status: int) -> tuple[str, str]:
    """Its one line, and what it had printed before, of a command that ends with `status`."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("models", *arguments, stdout=out)
    assert error.value.returncode == status
    assert "\n" not in str(error.value)
    return str(error.value), out.getvalue()


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting("gpt-small", "text-embed", key=KEY) as host:
        yield host


@pytest.fixture
def acme(host: Host) -> Provider:
    provider = make_remote(name="acme", base_url=host.base_url)
    make_credential(provider, KEY)
    return provider


def test_status_of_nothing() -> None:
    assert "No provider yet" in says("status")
    assert told("status") == {
        "providers": [],
        "defaults": {"chat": None, "embeddings": None, "audio_transcription": None},
        "failover": {"enabled": True, "pinned": False},
    }


def test_status(acme: Provider) -> None:
    make_model(provider=acme, name="small", is_default=True)
    says("test-connection", "acme")

    words = says("status")

    assert "1 of 1 usable" in words
    assert "Calls go through." in words
    assert "reached in" in words
    assert "Default for chat: acme/small" in words
    assert "Failover: on, unless a model is named" in words
    (provider,) = told("status")["providers"]
    assert provider["well"] is True
    assert provider["probe"]["ok"] is True
    assert provider["breakers"][0]["state"] == "closed"
    assert KEY not in words


def test_status_says_who_is_not_well(acme: Provider) -> None:
    says("trip", "acme")

    line, words = refused("status", status=1)

    assert line == "Not well: acme."
    assert "Taken out of use by" in words


def test_status_names_the_credential_where_breakers_differ(acme: Provider) -> None:
    assert "“" not in says("status")
    second = make_credential(acme, "sk-another-of-the-tests")
    Breaker.objects.create(provider=acme, credential=second, failures=1)

    assert f"“{second.secret.name}”: Calls go through; failed in a row: 1." in says("status")


def test_a_credential_that_cannot_be_read_is_no_usable_one() -> None:
    provider = make_remote(name="acme")
    credential = make_credential(provider)
    credential.secret.set_reference("env:NO_SUCH_VARIABLE_OF_THE_TESTS")
    credential.secret.save()

    _, words = refused("status", status=1)

    assert "0 of 1 usable" in words
    assert "NO_SUCH_VARIABLE_OF_THE_TESTS is not set" in words


def test_list() -> None:
    assert "No model yet" in says("list")
    make_model(name="small", provider=make_provider(name="acme"), vision=True)

    words = says("list")

    assert words.splitlines()[0].startswith("MODEL")
    assert "acme/small" in words
    assert "streaming, tools, json_mode, vision" in words
    assert told("list")[0]["name"] == "small"


def test_a_connection_is_tested(acme: Provider, host: Host) -> None:
    assert "reached" in says("test-connection", "acme")
    (test,) = told("test-connection")
    assert (test["provider"], test["ok"]) == ("acme", True)
    assert isinstance(test["results"][0]["latency_ms"], int)

    host.status = 503
    line, words = refused("test-connection", "acme", status=1)
    assert line == "Not reached with every credential: acme."
    assert "a problem of its own (503)" in words
    _, in_json = refused("test-connection", "acme", "--json", status=1)
    assert json.loads(in_json)[0]["results"][0]["failure_class"] == "transient_upstream"


def test_all_enabled_providers_are_tested() -> None:
    make_provider(name="rehearsal")
    make_provider(name="asleep", enabled=False)

    assert [one["provider"] for one in told("test-connection")] == ["rehearsal"]


def test_discovery_shows_and_changes_nothing(acme: Provider, host: Host) -> None:
    words = says("discover", "acme")

    assert "The host lists 2 models: 2 new." in words
    assert "palyra models discover acme --apply NAME…" in words
    found = told("discover", "acme")
    assert [(one["listed_name"], one["role"]) for one in found["models"]] == [
        ("gpt-small", "chat"),
        ("text-embed", "embeddings"),
    ]
    assert len(host.asked) == 1
    told("discover", "acme", "--refresh")
    assert len(host.asked) == 2
    assert not ProviderModel.objects.exists()


def test_what_is_picked_is_taken_over(acme: Provider, host: Host) -> None:
    pricing = {"prompt": "0.000001", "completion": "0.000002"}
    host.models.append({"id": "priced", "pricing": pricing})

    words = says("discover", "acme", "--apply", "gpt-small", "priced")

    assert "2 models added." in words
    assert "added: gpt-small, priced" in words
    assert "no price: gpt-small" in words
    assert Price.objects.get().model.name == "priced"
    assert told("discover", "acme", "--apply-all")["created"] == ["text-embed"]


def test_prices_can_be_left_alone(acme: Provider, host: Host) -> None:
    host.models[:] = [{"id": "priced", "pricing": {"prompt": "0.000001", "completion": "0"}}]

    assert "Prices stayed" in says("discover", "acme", "--apply-all", "--without-prices")
    assert not Price.objects.exists()


def test_a_pick_that_is_not_there_is_refused(acme: Provider) -> None:
    line, _ = refused("discover", "acme", "--apply", "gpt-small", "nowhere", status=1)

    assert "“nowhere” is not among" in line
    assert not ProviderModel.objects.exists()


def test_a_host_that_says_nothing(acme: Provider, host: Host) -> None:
    host.status = 404

    line, _ = refused("discover", "acme", status=1)

    assert "such as /v1" in line


def test_explain_shows_the_order_and_why() -> None:
    first = make_model(provider=make_provider(name="acme"), name="small", is_default=True)
    make_model(provider=make_provider(name="other"), name="large", cost_tier=1)
    make_model(provider=make_provider(name="blind"), name="old", vision=False, tools=False)

    words = says("explain", "auto", "--tools")
    found = told("explain", "auto", "--tools")

    assert words.splitlines()[1].split()[:2] == ["1", "acme/small"]
    assert [(one["model"], one["candidate"]) for one in found] == [
        (str(first), True),
        ("other/large", True),
        ("blind/old", False),
    ]
    assert found[2]["reason"] == "It cannot call tools."
    assert [one["would_be_tried"] for one in found] == [True, True, False]


def test_explain_knows_what_stands_in_the_way() -> None:
    make_model(provider=make_provider(name="acme"), name="small")
    says("trip", "acme")

    line, words = refused("explain", "small", status=1)

    assert "no call would reach a provider" in line
    assert "Taken out of use by" in words


def test_explain_of_other_roles() -> None:
    make_model(provider=make_provider(name="acme"), name="embed", role="embeddings")

    assert told("explain", "auto", "--role", "embeddings")[0]["model"] == "acme/embed"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("explain", "smal"), "Did you mean “small”?"),
        (("explain", "auto", "--role", "embeddings"), "“auto” stands for no model"),
        (("set", "nowhere"), "There is no model for chat named “nowhere”."),
        (("set-embeddings", "small"), "There is no model for embeddings"),
        (("set", "twice"), "say which: acme/twice, other/twice."),
        (("test-connection", "nowhere"), "There is no provider “nowhere”. There are: acme, other."),
        (("discover", "nowhere"), "There is no provider"),
        (("trip", "nowhere"), "There is no provider"),
        (("reset", "nowhere"), "There is no provider"),
        (("metrics", "--hours", "0"), "--hours"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(arguments: tuple[str, ...], line: str) -> None:
    acme, other = make_provider(name="acme"), make_provider(name="other")
    make_model(provider=acme, name="small")
    make_model(provider=acme, name="twice")
    make_model(provider=other, name="twice")

    assert line in refused(*arguments, status=2)[0]


def test_the_defaults_are_chosen() -> None:
    provider = make_provider(name="acme")
    make_model(provider=provider, name="small", is_default=True)
    make_model(provider=provider, name="large")
    make_model(provider=provider, name="embed", role="embeddings")

    assert "acme/large now answers “auto” for chat." in says("set", "acme/large")
    assert told("set-embeddings", "embed") == {"role": "embeddings", "default": "acme/embed"}

    defaults = ProviderModel.objects.filter(is_default=True).values_list("name", flat=True)
    assert sorted(defaults) == ["embed", "large"]


def test_a_model_that_is_disabled_cannot_be_the_default() -> None:
    provider = make_provider(name="acme")
    make_model(provider=provider, name="small", enabled=False)

    assert "It is disabled" in refused("set", "small", status=1)[0]
    Provider.objects.update(enabled=False)
    ProviderModel.objects.update(enabled=True)
    assert "Its provider, acme, is disabled" in refused("set", "small", status=1)[0]


def test_breakers_are_tripped_and_reset(acme: Provider) -> None:
    assert "No call goes to acme until it is reset." in says("trip", "acme")
    assert Breaker.objects.get().tripped_by.endswith("(command line)")

    assert "Calls go to acme again." in says("reset", "acme")
    assert told("reset", "acme")["breakers"][0]["lets"] == "pass"


def test_metrics(acme: Provider) -> None:
    assert "Nothing was called" in says("metrics")
    assert told("metrics") == []
    recorder = MetricsRecorder()
    recorder.answered(acme.pk, "small", latency_ms=200, first_token_ms=50, output_tokens=100)
    recorder.failed(acme.pk, "small", "rate_limited")
    recorder.flush()

    words = says("metrics", "--hours", "2")

    assert "acme/small" in words
    assert "rate_limited 1" in words
    assert told("metrics")[0]["attempts"] == 2


@pytest.fixture
def environment(data_dir: Path) -> Iterator[dict[str, str]]:
    """That of an installation of its own."""
    with own_database(data_dir) as url:
        yield {**os.environ, "PALYRA_DATA_DIR": str(data_dir), "DATABASE_URL": url}


@pytest.mark.any_database
def test_a_real_process_ends_with_its_status(
    environment: dict[str, str],
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )

    good = run("models", "status", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["providers"] == []
    wrong = run("models", "test-connection", "nowhere")
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.splitlines() == [
        "CommandError: There is no provider “nowhere”. There are: none."
    ]
    assert run("models", "no-such-thing").returncode == 2
    assert run("models", "set").returncode == 2
