"""The playground's page and what its script asks for. Each is guarded here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from governance import calls, snapshot
from governance.audit.middleware import who
from governance.display import dollars
from governance.errors import CallError
from governance.models import CallStatus, ModelCall
from palyra_site.console.permissions import (
    may_open_playground,
    may_use_playground,
    may_view,
    may_view_calls,
)
from palyra_site.console.playground.explaining import explained
from palyra_site.console.playground.forms import PlaygroundForm, body_of
from palyra_site.console.playground.refusals import LINKED, Refusal, refusal_of
from palyra_site.console.playground.sending import Answer, Sender, refused
from palyra_site.console.playground.snippets import snippets
from palyra_site.serving import serving_of
from providers.display import duration, number

Page = HttpResponse | StreamingHttpResponse
View = Callable[..., Page]
Test = Callable[[HttpRequest], bool]
EVENTS = "text/event-stream; charset=utf-8"
# What a link may fill in beforehand.
PREFILLED = ("team", "model", "task_class", "routing_mode", "max_output_tokens")


def guarded(permitted: Test) -> Callable[[View], View]:
    """Refuse whoever is not `permitted`."""

    def guard(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Page:
            if not permitted(request):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return guard


@require_safe
@guarded(may_open_playground)
def page(request: HttpRequest) -> HttpResponse:
    """The form, empty but for what a link fills in."""
    given = {name: request.GET[name] for name in PREFILLED if name in request.GET}
    form = PlaygroundForm(initial=given)
    context = {
        **admin.site.each_context(request),
        "title": "Playground",
        "form": form,
        "has_teams": form["team"].field.queryset.exists(),  # type: ignore[attr-defined]
        "may_send": may_use_playground(request),
        "may_schedule": request.user.has_perm("scheduling.add_cronjob"),
    }
    return TemplateResponse(request, "admin/playground/page.html", context)


@require_POST
@guarded(may_open_playground)
def explain(request: HttpRequest) -> HttpResponse:
    """What would be decided of the call, what it may cost and what budgets say. Nothing is sent,
    held or written."""
    form = PlaygroundForm(request.POST)
    if not form.is_valid():
        return _explained(request, faults=form.faults)
    try:
        foreseen = calls.foresee(form.call(request.user.pk), snapshot.load(), timezone.now())
    except CallError as error:
        return _explained(request, refusal=refusal_of(error, viewable=_viewable(request)))
    return _explained(request, explained=explained(foreseen))


@require_POST
@guarded(may_open_playground)
def code(request: HttpRequest) -> HttpResponse:
    """The same call from a program."""
    form = PlaygroundForm(request.POST)
    if not form.is_valid():
        return TemplateResponse(request, "admin/playground/code.html", {"faults": form.faults})
    asked = form.cleaned_data
    shown = snippets(
        settings.PALYRA_PUBLIC_URL,
        body_of(asked),
        task_class=asked["task_class"],
        routing_mode=asked["routing_mode"] or None,
    )
    return TemplateResponse(request, "admin/playground/code.html", {"snippets": shown})


@require_POST
@guarded(may_use_playground)
def send(request: HttpRequest) -> Page:
    """Make the call, and answer with its events as they come."""
    form, serving = PlaygroundForm(request.POST), serving_of(request)
    if not form.is_valid():
        return _events(refused(Refusal(title="This cannot be sent", message=" ".join(form.faults))))
    if serving is None:
        return _events(
            refused(
                Refusal(
                    title="This server makes no calls",
                    message="Start it with “palyra web” or “palyra up”, and send it again.",
                )
            )
        )
    sender = Sender(acting=who(request), viewable=_viewable(request))
    return _events(Answer(form.call(request.user.pk), serving, sender))


@require_safe
@guarded(may_open_playground)
def settled(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """What a call used and cost, by the ledger; 202 while that is not known yet."""
    found = ModelCall.objects.filter(pk=call_id).select_related("team")
    if not may_view_calls(request):
        # Whoever may not see the ledger sees what they sent.
        found = found.filter(user=request.user.pk)
    call = found.first()
    if call is None or call.status == CallStatus.IN_FLIGHT:
        return HttpResponse(status=202)
    context = {"call": call, "facts": _facts(call), "may_view_call": may_view_calls(request)}
    return TemplateResponse(request, "admin/playground/settled.html", context)


def urls(guard: Callable[[Any], Any]) -> list[URLPattern]:
    """Where it all is, behind the site's own `guard`."""
    return [
        path("playground/", guard(page), name="playground"),
        path("playground/explain/", guard(explain), name="playground_explain"),
        path("playground/code/", guard(code), name="playground_code"),
        path("playground/send/", guard(send), name="playground_send"),
        path("playground/calls/<uuid:call_id>/", guard(settled), name="playground_settled"),
    ]


def _explained(request: HttpRequest, **shown: Any) -> HttpResponse:
    context = {"may_view_policies": may_view("governance.budgetpolicy")(request), **shown}
    return TemplateResponse(request, "admin/playground/explained.html", context)


def _events(content: Any) -> Page:
    whole = isinstance(content, bytes)
    response = (HttpResponse if whole else StreamingHttpResponse)(content, content_type=EVENTS)
    # A proxy that gathers the events before it passes them on would make them pointless.
    response["X-Accel-Buffering"] = "no"
    return response


def _viewable(request: HttpRequest) -> frozenset[str]:
    return frozenset(kind for kind in LINKED if may_view(kind)(request))


def _facts(call: ModelCall) -> list[tuple[str, str]]:
    """What was used, in the order people ask for it."""
    tried = [one for one in call.attempts if one.get("outcome") != "skipped"]
    facts = [
        ("Cost", dollars(call.cost)),
        ("Model", f"{call.provider}/{call.model}"),
        ("Tokens", _tokens(call)),
        ("Attempts", number(len(tried))),
    ]
    if call.first_token_ms is not None:
        facts.append(("First piece after", duration(call.first_token_ms / 1000)))
    if call.latency_ms is not None and tried:
        facts.append(("Took", duration(call.latency_ms / 1000)))
    if call.cached:
        facts.append(("From cache", "Kept from a call just before"))
    return facts


def _tokens(call: ModelCall) -> str:
    if call.total_tokens is None:
        return "None"
    answered = call.output_tokens or 0
    said = f"{call.total_tokens - answered:,} in, {answered:,} out"
    return said if call.usage_reported or call.cached else f"{said}, estimated"
