"""Failures that providers are told to give, and calls that meet them."""

from __future__ import annotations

from typing import Any

from providers.failures import Failure, FailureClass
from providers.invocation import Invocation, Plan, invoke
from providers.registry import CredentialEntry
from providers.requests import ChatRequest
from tests.providers.entries import chat_request, credential_entry, model_entry, provider_entry
from tests.providers.fakes import Scene, answer, failure

DOWN = failure(http_status=503)
BUSY = failure(FailureClass.RATE_LIMITED)
WRONG_KEY = failure(FailureClass.AUTH_INVALID, http_status=401)
GONE = failure(FailureClass.PERMANENT_UPSTREAM)
ASKED_WRONG = failure(FailureClass.PERMANENT_UPSTREAM, callers_fault=True, http_status=400)
YES = answer()


def keys(*names: str) -> tuple[CredentialEntry, ...]:
    return tuple(credential_entry(f"sk-{name}", name=name) for name in names)


def request_to(name: str, *credentials: str, **fields: Any) -> ChatRequest:
    """A request to a model of a provider of that name."""
    provider = provider_entry(name=name, credentials=keys(*credentials), **fields)
    return chat_request(model_entry(provider, name="m"))


def plan_of(*candidates: ChatRequest) -> Plan:
    credentials = candidates[0].model.provider.credentials
    return Plan(candidates, credentials[0] if credentials else None)


async def call(scene: Scene, *candidates: ChatRequest, **script: Any) -> Invocation:
    """Make a call; `script` has each provider's outcomes."""
    for name, outcomes in script.items():
        scene.script[name] = list(outcomes) if isinstance(outcomes, list | tuple) else [outcomes]
    return await invoke(plan_of(*candidates), scene.services, scene, pace=scene.clock.pace())


def story(made: Invocation) -> list[tuple[str, ...]]:
    """Provider, credential where there is one, outcome, and the class where it failed."""
    return [
        tuple(filter(None, (one.provider, one.credential, one.outcome, one.failure_class)))
        for one in made.attempts
    ]


def failed(provider: str, made: Failure, credential: str = "") -> tuple[str, ...]:
    return tuple(filter(None, (provider, credential, "failed", made.failure_class.value)))
