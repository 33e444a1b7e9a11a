"""Who must use two-step sign-in, and sees to it before anything else."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from palyra_site.access.roles import Role

PREFIX = "/account/"
API = "/api/"
SAYS = "Two-step sign-in is required of you. Set it up to go on."


def must_use(rule: str, role: Role) -> bool:
    """Whether the rule of PALYRA_REQUIRE_TWO_STEP asks it of somebody in that role. Pure.

    Of administrators it is asked of owners too, and of whoever has rights that no role gives.
    """
    if rule == "everyone":
        return True
    return rule == "administrators" and role in {Role.OWNER, Role.ADMINISTRATOR, Role.OTHER}


def uses_two_step(user: User) -> bool:
    """Whether a code is asked for when they sign in."""
    from allauth.mfa.models import Authenticator  # noqa: PLC0415 - once there are models

    return bool(Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists())


class RequiredMiddleware:
    """Sends who must set it up there, from every page but those of their own account."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, or the way to set it up."""
        if settings.PALYRA_REQUIRE_TWO_STEP == "nobody" or not self._is_missing(request):
            return self._get_response(request)
        if request.path.startswith(API) or "HX-Request" in request.headers:
            return _refusal()
        messages.warning(request, SAYS)
        return HttpResponseRedirect(reverse("mfa_activate_totp"))

    def _is_missing(self, request: HttpRequest) -> bool:
        from palyra_site.access.groups import role_by_rights  # noqa: PLC0415 - once there are models

        if request.path.startswith((PREFIX, "/static/", "/readyz")):
            return False
        user = request.user
        if not isinstance(user, User) and not user.is_authenticated:
            return False
        rule = settings.PALYRA_REQUIRE_TWO_STEP
        return not uses_two_step(user) and must_use(rule, role_by_rights(user))


def _refusal() -> HttpResponse:
    response: Any = HttpResponse(SAYS, status=HTTPStatus.FORBIDDEN, content_type="text/plain")
    response.problem_detail = SAYS
    return cast(HttpResponse, response)
