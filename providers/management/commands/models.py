"""`palyra models`: providers and their models from the command line.

Exit status: 0 all is well, 1 something is wrong, 2 the command cannot be understood.
"""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseFailure
from django.utils import timezone

from providers import condition, discovery, metrics, registry
from providers.api.health_schemas import (
    AppliedOut,
    ConnectionTestOut,
    DiscoveryOut,
    HealthOut,
    MetricOut,
)
from providers.api.schemas import ModelOut
from providers.candidates import Needs
from providers.defaults import make_default
from providers.explaining import NoSuchModel, explain
from providers.health import check_now
from providers.management import models_text as text
from providers.models import ModelRole, Provider, ProviderModel, failover_policy

WRONG, USAGE = 1, 2
NEEDS = {
    "stream": "streaming",
    "tools": "tools",
    "json_mode": "json_mode",
    "vision": "vision",
    "audio": "audio",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a subcommand found, for programs and for people; `fault` is what is wrong, in a line."""

    content: Any
    text: str
    fault: str = ""


class Command(BaseCommand):
    """Look at providers and models, test and discover them, choose defaults."""

    help = "Look at providers and their models, test and discover them, and choose the defaults."

    # They read the whole site, which this command never serves.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        wants = parser.add_subparsers(dest="wants", required=True, metavar="COMMAND")

        def add(name: str, help_text: str) -> ArgumentParser:
            one: ArgumentParser = wants.add_parser(name, help=help_text, description=help_text)
            one.add_argument("--json", action="store_true", help="answer in JSON")
            return one

        add("status", "Say how providers are doing, and what the defaults are.")
        add("list", "List the models.")
        one = add("test-connection", "Ask each host, or one, for its models; spends no tokens.")
        one.add_argument("provider", nargs="?", help="a provider's name; all enabled if left out")
        _add_discover(add("discover", "Show what a host lists, and take over what is picked."))
        _add_explain(add("explain", "Say which models a call would be tried at, and why."))
        one = add("set", "Choose the model that “auto” stands for.")
        one.add_argument("model", help="a model, or provider/model")
        one.add_argument("--role", choices=ModelRole.values, default=ModelRole.CHAT.value)
        one = add("set-embeddings", "Choose the model that “auto” stands for in embeddings.")
        one.add_argument("model", help="a model, or provider/model")
        one = add("trip", "Let no call go to a provider until it is reset.")
        one.add_argument("provider", help="a provider's name")
        one = add("reset", "Let calls go to a provider again.")
        one.add_argument("provider", help="a provider's name")
        one = add("metrics", "Show how providers did.")
        one.add_argument("--hours", type=int, default=24, help="how far back (default: 24)")

    def handle(self, *args: Any, wants: str, **options: Any) -> None:
        subcommand: Callable[..., Answer] = getattr(self, f"_{wants.replace('-', '_')}")
        try:
            answer = subcommand(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except DatabaseFailure as error:
            reason = str(error).partition("\n")[0]
            raise CommandError(f"The database cannot be read or written: {reason}") from None
        in_json = json.dumps(answer.content, indent=2, ensure_ascii=False)
        self.stdout.write(in_json if options["json"] else answer.text)
        if answer.fault:
            raise CommandError(answer.fault, returncode=WRONG)

    def _status(self, _options: dict[str, Any]) -> Answer:
        known = condition.conditions(Provider.objects.all(), timezone.now())
        defaults = _defaults()
        policy = failover_policy()
        content = {
            "providers": [HealthOut.of(one).model_dump(mode="json") for one in known],
            "defaults": defaults,
            "failover": {"enabled": policy.enabled, "pinned": policy.pinned},
        }
        unwell = [one.provider.name for one in known if not one.is_well]
        fault = f"Not well: {', '.join(unwell)}." if unwell else ""
        return Answer(content, text.status(known, defaults, policy), fault)

    def _list(self, _options: dict[str, Any]) -> Answer:
        rows = list(ProviderModel.objects.select_related("provider"))
        content = [ModelOut.of(row).model_dump(mode="json") for row in rows]
        return Answer(content, text.models(rows))

    def _test_connection(self, options: dict[str, Any]) -> Answer:
        if options["provider"] is None:
            providers = list(Provider.objects.filter(enabled=True).order_by("name"))
        else:
            providers = [_provider(options["provider"])]
        tests = [check_now(one) for one in providers]
        content = [ConnectionTestOut.of(one).model_dump(mode="json") for one in tests]
        failed = [one.provider for one in tests if not one.ok]
        fault = f"Not reached with every credential: {', '.join(failed)}." if failed else ""
        return Answer(content, text.tests(tests), fault)

    def _discover(self, options: dict[str, Any]) -> Answer:
        provider, now = _provider(options["provider"]), timezone.now()
        try:
            listing = discovery.discover(provider, refresh=options["refresh"])
        except discovery.DiscoveryFailed as error:
            raise CommandError(str(error), returncode=WRONG) from None
        if options["apply"] or options["apply_all"]:
            picked = None if options["apply_all"] else options["apply"]
            applied = discovery.apply(
                provider, picked, with_prices=not options["without_prices"], now=now
            )
            return Answer(AppliedOut.of(applied).model_dump(mode="json"), text.applied(applied))
        found = discovery.review(provider, listing, now=now)
        content = DiscoveryOut.of(provider.name, found).model_dump(mode="json")
        return Answer(content, text.review(provider, found))

    def _explain(self, options: dict[str, Any]) -> Answer:
        needs = Needs(
            role=options["role"],
            input_tokens=options["input_tokens"],
            **{need: options[flag] for flag, need in NEEDS.items()},
        )
        try:
            found = explain(options["model"], registry.load(), needs, timezone.now())
        except NoSuchModel as error:
            raise CommandError(str(error), returncode=USAGE) from None
        content = [
            {
                "model": one.model.qualified_name,
                "candidate": one.eligible,
                "reason": one.reason,
                "would_be_tried": one.would_be_tried,
                "obstacle": one.obstacle,
            }
            for one in found
        ]
        tried = any(one.would_be_tried for one in found)
        fault = "" if tried else "As things are, no call would reach a provider."
        return Answer(content, text.explanation(found), fault)

    def _set(self, options: dict[str, Any]) -> Answer:
        model = _model(options["model"], options["role"])
        make_default(model)
        role = ModelRole(model.role).label.lower()
        content = {"role": model.role, "default": str(model)}
        return Answer(content, f"{model} now answers “auto” for {role}.")

    def _set_embeddings(self, options: dict[str, Any]) -> Answer:
        return self._set({**options, "role": ModelRole.EMBEDDINGS.value})

    def _trip(self, options: dict[str, Any]) -> Answer:
        provider = _provider(options["provider"])
        condition.trip(provider, by=f"{_operator()} (command line)")
        return _health(provider, f"No call goes to {provider.name} until it is reset.")

    def _reset(self, options: dict[str, Any]) -> Answer:
        provider = _provider(options["provider"])
        condition.reset(provider)
        return _health(provider, f"Calls go to {provider.name} again.")

    def _metrics(self, options: dict[str, Any]) -> Answer:
        if options["hours"] < 1:
            raise CommandError("--hours: give a whole number from 1.", returncode=USAGE)
        since = timezone.now() - timedelta(hours=options["hours"])
        found = metrics.summaries(since=since)
        content = [MetricOut.of(one).model_dump(mode="json") for one in found]
        return Answer(content, text.metrics(found, options["hours"]))


def _add_discover(parser: ArgumentParser) -> None:
    parser.add_argument("provider", help="a provider's name")
    picks = parser.add_mutually_exclusive_group()
    picks.add_argument(
        "--apply", nargs="+", metavar="NAME", help="take over these, by the host's names"
    )
    picks.add_argument(
        "--apply-all",
        action="store_true",
        help="take over all that are new, or changed and not set by an operator",
    )
    parser.add_argument("--without-prices", action="store_true", help="leave prices as they are")
    parser.add_argument("--refresh", action="store_true", help="ask the host even if asked lately")


def _add_explain(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="a model as clients name it, or auto")
    parser.add_argument("--role", choices=ModelRole.values, default=ModelRole.CHAT.value)
    parser.add_argument("--stream", action="store_true", help="the answer is to come in pieces")
    parser.add_argument("--tools", action="store_true", help="it may call tools")
    parser.add_argument("--json-mode", action="store_true", help="it must be JSON")
    parser.add_argument("--vision", action="store_true", help="the call has images")
    parser.add_argument("--audio", action="store_true", help="the call has sound")
    parser.add_argument("--input-tokens", type=int, default=0, help="how long the call is")


def _defaults() -> dict[str, str | None]:
    """What `auto` stands for, role by role."""
    known = registry.load()
    found = {role: known.default(role) for role in ModelRole.values}
    return {role: None if model is None else model.qualified_name for role, model in found.items()}


def _provider(name: str) -> Provider:
    provider = Provider.objects.filter(name=name).first()
    if provider is None:
        names = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True))
        raise CommandError(
            f"There is no provider “{name}”. There are: {names or 'none'}.", returncode=USAGE
        )
    return provider


def _model(name: str, role: str) -> ProviderModel:
    rows = list(ProviderModel.objects.filter(role=role).select_related("provider"))
    found = [row for row in rows if str(row) == name] or [row for row in rows if row.name == name]
    if len(found) == 1:
        return found[0]
    words = ModelRole(role).label.lower()
    if not found:
        raise CommandError(f"There is no model for {words} named “{name}”.", returncode=USAGE)
    named = ", ".join(str(row) for row in found)
    raise CommandError(f"Several models have this name; say which: {named}.", returncode=USAGE)


def _health(provider: Provider, says: str) -> Answer:
    now = condition.condition(provider, timezone.now())
    return Answer(HealthOut.of(now).model_dump(mode="json"), says)


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "an operator"
