"""The team's pages about keys and about asking for more budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from governance import approval_words, approvals, keys
from governance.access import TeamAccess, team_page
from governance.amounts import amount_text
from governance.forms import Choice, KeyForm, RequestForm, add_faults, choices_of
from governance.models import ApiKey, Approval, ApprovalStatus, ApprovalUntil, ModelCall
from governance.standing import standings

# The session remembers the latest forms that made a key, so that a reload makes no second one.
SUBMISSIONS = "submitted_keys"
REMEMBERED_SUBMISSIONS = 20
SHOWN_ENDED_KEYS = 50
SHOWN_REQUESTS = 50
# Of a policy with a budget for each of something, the fullest.
MOST_OF_EACH = 20


@require_safe
@team_page
def key_list(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """The team's keys: those that work first, then those that no longer do."""
    now = timezone.now()
    works = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    return render(
        request,
        "team/keys.html",
        {
            "access": access,
            "now": now,
            "working": [(key, access.may_revoke(key)) for key in _keys_of(access).filter(works)],
            "ended": _keys_of(access).exclude(works)[:SHOWN_ENDED_KEYS],
        },
    )


def _keys_of(access: TeamAccess) -> QuerySet[ApiKey]:
    last_call = ModelCall.objects.filter(api_key=OuterRef("pk")).order_by("-admitted_at")
    found: QuerySet[ApiKey] = (
        ApiKey.objects.filter(team=access.team)
        .select_related("created_by")
        .annotate(last_used_at=Subquery(last_call.values("admitted_at")[:1]))
    )
    return found


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def key_create(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """Make a key and show it, once: on the answer to the form and nowhere again."""
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        submission = str(form.cleaned_data["once"])
        if submission in request.session.get(SUBMISSIONS, []):
            messages.info(
                request,
                "That key was already created and shown. If it was not copied, revoke it and "
                "create another.",
            )
            return redirect("team:keys", access.team.slug)
        try:
            new = keys.create(
                team=access.team,
                name=form.cleaned_data["name"],
                created_by=access.user,
                expires_at=form.expires_at(timezone.now()),
            )
        except ValidationError as error:
            add_faults(form, error)
        else:
            _remember(request, submission)
            return render(request, "team/key_created.html", _created(access, new))
    return render(request, "team/key_form.html", {"access": access, "form": form})


def _remember(request: HttpRequest, submission: str) -> None:
    submissions = [*request.session.get(SUBMISSIONS, []), submission]
    request.session[SUBMISSIONS] = submissions[-REMEMBERED_SUBMISSIONS:]


def _created(access: TeamAccess, new: keys.NewKey) -> dict[str, Any]:
    return {
        "access": access,
        "now": timezone.now(),
        "key": new.record,
        "text": new.text,
        "curl": curl_line(new.text),
    }


def curl_line(key_text: str) -> str:
    """A shell command that makes a first call with a key."""
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]})
    return (
        f"curl {settings.PALYRA_PUBLIC_URL}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key_text}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def key_revoke(request: HttpRequest, access: TeamAccess, public_id: str) -> HttpResponse:
    """Say what revoking the key does, and on POST do it."""
    key = _keys_of(access).filter(public_id=public_id).first()
    if key is None:
        raise Http404
    if not access.may_revoke(key):
        raise PermissionDenied("Only a manager of the team may revoke a key somebody else created.")
    if request.method == "POST":
        if keys.revoke(key):
            messages.success(request, f"“{key.name}” is revoked. Calls with it are refused now.")
        else:
            messages.info(request, f"“{key.name}” had been revoked already.")
        return redirect("team:keys", access.team.slug)
    return render(
        request, "team/key_revoke.html", {"access": access, "key": key, "now": timezone.now()}
    )


@require_safe
@team_page
def request_list(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """What the team asked for, and what became of it."""
    return render(
        request,
        "team/requests.html",
        {
            "access": access,
            "now": timezone.now(),
            "requests": approval_words.with_whose(requests_of(access)[:SHOWN_REQUESTS]),
            "may_ask": approvals.policies_for(access.team).exists(),
        },
    )


def requests_of(access: TeamAccess) -> QuerySet[Approval]:
    """The team's requests for more budget, newest first."""
    return Approval.objects.filter(team=access.team).select_related(
        "policy", "requested_by", "decided_by"
    )


@require_http_methods(["GET", "HEAD", "POST"])
@team_page
def request_create(request: HttpRequest, access: TeamAccess) -> HttpResponse:
    """Ask for more of one of the budgets that can stop the team."""
    now = timezone.now()
    found = standings(
        team=access.team, person_id=access.user.pk, now=now, most_of_each=MOST_OF_EACH
    )
    choices = choices_of(found, access.team.pk)
    form = RequestForm(
        request.POST or None, choices=choices, initial={"policy": request.GET.get("policy", "")}
    )
    if request.method == "POST" and form.is_valid() and _ask(form, access, now):
        asked = form.asked()
        messages.success(
            request,
            f"Asked for {amount_text(asked['policy'].metric, asked['amount'])} more of "
            f"“{asked['policy']}”. The answer will show here.",
        )
        return redirect("team:requests", access.team.slug)
    return render(
        request,
        "team/request_form.html",
        {"access": access, "form": form, "now": now, "choices": _marked(choices, access)},
    )


def _ask(form: RequestForm, access: TeamAccess, now: datetime) -> bool:
    try:
        approvals.request_more(team=access.team, requested_by=access.user, now=now, **form.asked())
    except ValidationError as error:
        add_faults(form, error, shown_at={"expires_at": "last_day"})
        return False
    return True


def _marked(choices: Mapping[str, Choice], access: TeamAccess) -> list[tuple[str, Choice, bool]]:
    """Each budget by its name, and whether a request for more of it is waiting."""
    waiting = set(
        Approval.objects.filter(team=access.team, status=ApprovalStatus.PENDING)
        .exclude(until=ApprovalUntil.CALL)
        .values_list("policy_id", "scope_value")
    )
    return [
        (name, one, (one.policy.pk, one.scope_value) in waiting) for name, one in choices.items()
    ]
