"""Every operation of the JSON API that could change something, as each role of the console."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from governance.models import Alert, ApiKey, BudgetPolicy, Channel, Delivery, ModelCall
from palyra_site.access.groups import give_role
from palyra_site.access.roles import Role
from palyra_site.api.root import api
from providers.models import Provider, ProviderModel
from scheduling.models import CronRun, ExclusionCalendar, MaintenanceJob
from tests.api.callers import Caller, person, signed_in
from tests.browser.seed import Seeded
from tests.console.permissions.test_roles import RUN_BY_OPERATORS
from tests.console.permissions.walking import fingerprint

# Who may do what is asked of Python: once is enough.
pytestmark = pytest.mark.any_database
CHANGES = ("post", "put", "patch", "delete")
JOB = {"name": "Mine", "schedule_kind": "cron", "cron": "0 9 * * *", "prompt": "Sum up."}
# What is sent with effect, by operation; `{team}` and `{model}` stand for some that there are.
BODIES: dict[str, dict[str, Any]] = {
    "add_provider": {"name": "mine", "kind": "deterministic"},
    "add_provider_from_preset": {"preset": "ollama"},
    "change_provider": {"max_retries": 1},
    "add_model": {"name": "mine"},
    "change_model": {"enabled": False},
    "change_failover_policy": {"pinned": True},
    "set_provider_breaker": {"action": "trip"},
    "discover_models": {},
    "apply_discovered_models": {"models": ["mine"]},
    "add_team": {"slug": "mine", "name": "Mine"},
    "change_team": {"name": "Mine now"},
    "add_key": {"team": "{team}", "name": "Mine"},
    "change_key": {"name": "Mine"},
    "add_price": {"model": "{model}", "uncached_input": "1", "output": "1"},
    "apply_price_import": {},
    "add_policy": {"name": "Mine", "hard_limit": "1"},
    "change_policy": {"hard_limit": "1000"},
    "request_approval": {"team": "{team}", "policy": "{policy}", "amount": "1", "reason": "Why?"},
    "decide_approval": {"approve": True},
    "mute_alert": {"until": "2999-01-01T00:00:00Z"},
    "add_channel": {"name": "mine", "kind": "console"},
    "change_channel": {"enabled": False},
    "correct_call": {"answered": False, "reason": "I asked them."},
    "decide_route": {"team": "{team}", "request": {}},
    "change_settings": {"routing_mode": "enforced"},
    "add_job": {"team": "{team}", **JOB},
    "preview_schedule": {"schedule_kind": "cron", "cron": "0 9 * * *"},
    "change_job": {"name": "Mine"},
    "run_job": {},
    "rehearse_job": {},
    "review_missed_times": {"decision": "skip"},
    "pause_job": {"reason": "Mine."},
    "cancel_run": {},
    "add_calendar": {"team": "{team}", "name": "Mine"},
    "change_calendar": {"dates": ["2040-12-24"]},
    "pause_maintenance": {"reason": "Mine."},
    "schedule_maintenance": {"every_seconds": 600},
}
# They are asked and change nothing.
ASKED = {"preview_schedule", "decide_route"}


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for one operation."""

    operation: str
    method: str
    path: str
    body: Any


def _operations() -> Iterator[tuple[str, str, Any]]:
    """Those that could change something; what is deleted is deleted last."""
    paths = api.get_openapi_schema(path_prefix="/")["paths"]
    found = [
        (method, path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method in CHANGES
    ]
    yield from sorted(found, key=lambda one: one[0] == "delete")


def _walk(seeded: Seeded) -> list[Request]:
    team = seeded.pending.team.slug
    model = ProviderModel.objects.earliest("pk")
    there: dict[str, Any] = {
        "team_slug": team,
        "key_id": ApiKey.objects.earliest("pk").public_id,
        "model_id": model.pk,
        "policy_id": BudgetPolicy.objects.earliest("pk").pk,
        "approval_id": seeded.pending.pk,
        "alert_id": Alert.objects.latest("pk").pk,
        "channel_id": Channel.objects.earliest("pk").pk,
        "delivery_id": Delivery.objects.earliest("pk").pk,
        "call_id": ModelCall.objects.earliest("pk").pk,
        "job_id": seeded.job.pk,
        "run_id": CronRun.objects.earliest("pk").pk,
        "calendar_id": ExclusionCalendar.objects.earliest("pk").pk,
    }
    named = {"{team}": team, "{model}": str(model.pk), "{policy}": str(seeded.pending.policy_id)}
    maintenance = MaintenanceJob.objects.earliest("pk").name
    provider = Provider.objects.get(name="openai").name
    requests = []
    for method, path, operation in _operations():
        name = operation["operationId"]
        body = BODIES[name] if "requestBody" in operation else None
        if body is not None:
            body = {field: named.get(str(value), value) for field, value in body.items()}
        values = {**there, "name": maintenance if "/maintenance/" in path else provider}
        requests.append(Request(name, method.upper(), path.format(**values), body))
    return requests


def _send(caller: Caller, request: Request) -> int:
    return caller.send(request.method, request.path, request.body).status_code


def _with_role(role: Role) -> Caller:
    user = person("somebody")
    give_role(user, role)
    return signed_in(user)


def test_the_auditor_changes_nothing(seeded: Seeded) -> None:
    auditor, walk = _with_role(Role.AUDITOR), _walk(seeded)
    before = fingerprint()

    answers = {one.operation: _send(auditor, one) for one in walk}

    assert fingerprint() == before
    assert {name for name, status in answers.items() if status not in {403, 404}} == ASKED


def test_the_operator_changes_only_what_they_run(seeded: Seeded) -> None:
    operator, walk = _with_role(Role.OPERATOR), _walk(seeded)
    before = fingerprint()

    for one in walk:
        # Theirs to run: what goes with it would be more than the tables below.
        if one.operation != "delete_job":
            _send(operator, one)

    after = fingerprint()
    changed = {table for table in after if after[table] != before[table]}
    assert changed <= RUN_BY_OPERATORS
    assert {"governance_approval", "scheduling_cronjob", "providers_breaker"} <= changed


def test_what_is_sent_has_an_effect(seeded: Seeded) -> None:
    """The walks above prove nothing unless an owner's requests are taken."""
    owner = signed_in(seeded.administrator)
    taken = {one.operation for one in _walk(seeded) if _send(owner, one) < 300}
    assert {name for name in BODIES if name.startswith("add_")} <= taken
    assert {
        "change_provider",
        "change_model",
        "change_failover_policy",
        "set_provider_breaker",
        "change_team",
        "change_key",
        "revoke_key",
        "change_policy",
        "decide_approval",
        "change_settings",
        "change_channel",
        "pause_job",
        "run_job",
        "schedule_maintenance",
    } <= taken
