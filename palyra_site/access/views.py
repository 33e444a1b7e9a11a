"""The pages of signing in and of one's own account: allauth's flows, in Palyra's looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, cast

import requests
from allauth.account import views as account
from allauth.core import ratelimit
from allauth.socialaccount.adapter import get_adapter as single_sign_on
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from palyra_site.access.claims import SIGNING_IN
from palyra_site.access.devices import devices_of
from palyra_site.access.groups import role_by_rights, role_of
from palyra_site.access.outbound import log_failure
from palyra_site.access.roles import IN_WORDS
from palyra_site.access.seen import note_now_and_then
from palyra_site.access.sessions import end_sessions
from palyra_site.access.two_step import must_use, uses_two_step
from palyra_site.console.zones import viewers_zone
from palyra_site.team import CONTENT_SECURITY_POLICY

View = Callable[..., Any]
HOST_NAME = re.compile(r"^([A-Za-z0-9._-]{1,200}|\[[0-9a-fA-F:.]{2,60}\])(:\d+)?$")
NOT_THIS_NAME = (
    "Palyra does not answer to this host name. PALYRA_PUBLIC_URL and PALYRA_ALLOWED_HOSTS say to "
    "which it does."
)
UNAUTHORIZED = HTTPStatus.UNAUTHORIZED
# Allauth takes the answers' shape for granted: a list for a dictionary, a number for a name.
WRONG_ANSWERS = (
    requests.RequestException,
    OAuth2Error,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    # Of an identifier that is too long.
    ImproperlyConfigured,
    DatabaseError,
)


def page(view: View) -> Callable[..., HttpResponse]:
    """`view` with what all these pages share: no caching, and a policy that lets no script in but
    Palyra's files."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return cast(HttpResponse, response)

    return cast("Callable[..., HttpResponse]", never_cache(shown))


class SignIn(account.LoginView):  # type: ignore[misc]
    """The one page to sign in on: for the console, the team pages and the API's own pages."""

    template_name = "account/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        elsewhere = single_sign_on(self.request).list_providers(self.request)
        return {
            **super().get_context_data(**kwargs),
            "elsewhere": elsewhere,
            "sends_links": settings.PALYRA_EMAIL,
        }


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """On POST only, so that no link elsewhere can do it."""
    response: HttpResponse = account.logout(request)
    return response


@require_POST
def to_single_sign_on(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Send the browser to the identity provider.

    By way of a page: a form's policy lets it lead nowhere else, not even by redirection.
    """
    # Or the caller could have allauth tie an identity to the account that is signed in.
    if {request.GET.get("process"), request.POST.get("process")} - {None, SIGNING_IN}:
        raise Http404
    if not ratelimit.consume(request, action="login"):
        return too_many_requests(request)
    response = _asked(oidc.login, request, provider_id)
    if response.status_code != HTTPStatus.FOUND:
        return response
    provider = single_sign_on(request).get_provider(request, provider_id)
    context = {"address": response.headers["Location"], "name": provider.name}
    return render(request, "access/leaving.html", context)


@require_safe
def from_single_sign_on(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Where the identity provider sends the browser back to."""
    return _asked(oidc.callback, request, provider_id)


def _asked(step: View, request: HttpRequest, provider_id: str) -> HttpResponse:
    """What comes of a step that asks the identity provider, which may be down or answer wrongly."""
    try:
        return cast(HttpResponse, step(request, provider_id))
    except WRONG_ANSWERS as error:
        log_failure(error)
        return render(request, "socialaccount/authentication_error.html", status=UNAUTHORIZED)


@require_safe
def cancelled(request: HttpRequest) -> HttpResponse:
    """Whoever changed their mind there signs in here."""
    messages.info(request, "You were not signed in: it was cancelled.")
    return redirect("account_login")


@login_required
@require_safe
def own_account(request: HttpRequest) -> HttpResponse:
    """How somebody signs in, and where they are signed in."""
    user = cast(User, request.user)
    role = role_of(user)
    # This session too is listed, although it may have no row yet.
    note_now_and_then(request, user)
    shown = {
        "role": role,
        "may_do": IN_WORDS[role],
        "two_step": uses_two_step(user),
        "required": must_use(settings.PALYRA_REQUIRE_TWO_STEP, role_by_rights(user)),
        "codes_left": _codes_left(user),
        "devices": devices_of(user, request.session.session_key),
    }
    with timezone.override(viewers_zone(request)):
        return render(request, "access/account.html", shown)


def _codes_left(user: User) -> int:
    from allauth.mfa.models import Authenticator  # noqa: PLC0415

    found = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(found.wrap().get_unused_codes()) if found else 0


@login_required
def change_password(request: HttpRequest) -> HttpResponse:
    """Who signs in elsewhere only has no password here to change."""
    user = cast(User, request.user)
    if not user.has_usable_password():
        messages.info(request, "You sign in with single sign-on, and have no password here.")
        return redirect("mfa_index")
    before = user.password
    response: HttpResponse = account.password_change(request)
    if user.password != before:
        # They let nobody in any more, and would be counted.
        end_sessions(user, but=request.session.session_key)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Says which setting lets Palyra answer to the name it was called by."""
    is_host = isinstance(exception, DisallowedHost)
    name = _host_called(request) if is_host else ""
    context = {"name": name, "is_host": is_host}
    # Without the request: who is signed in cannot be looked up where not even the name is known.
    response: Any = render(None, "access/bad_request.html", context, status=HTTPStatus.BAD_REQUEST)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    if is_host:
        response.problem_detail = NOT_THIS_NAME
    return cast(HttpResponse, response)


def _host_called(request: HttpRequest) -> str:
    """The name in the request, if it is one; without its port."""
    found = HOST_NAME.match(request.META.get("HTTP_HOST", ""))
    return found[1] if found else ""


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """What allauth shows instead of a page that was asked for too often."""
    response = render(request, "429.html", status=HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = "60"
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was open for too long, or came from elsewhere."""
    return render(request, "access/csrf.html", status=HTTPStatus.FORBIDDEN)
