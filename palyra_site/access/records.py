"""Signing in, failing to, and the second step, in the audit trail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest

from governance.audit import record
from palyra_site.access.claims import Claim, Outcome
from palyra_site.access.failures import forget_passwords_tried
from palyra_site.access.sessions import end_sessions

SIGNED_IN = "signed in"
FAILED = "failed to sign in"
REFUSED = "was refused"
CODE_FAILED = "gave a wrong code"
TWO_STEP_ON = "set up two-step"
TWO_STEP_OFF = "took two-step away"
NEW_CODES = "made recovery codes"
SIGNED_OUT = "signed out everywhere"
SESSION_ENDED = "signed out a browser"
FORGOTTEN = "set a new password by e-mail"
LINKED = "linked single sign-on"
# Never what was typed: people type passwords where a name belongs, and the trail keeps for ever.
NOBODY = "an account that does not exist"
METHODS = {"password": "password", "mfa": "one-time code", "socialaccount": "single sign-on"}


def connect() -> None:
    """Have it recorded. Once a process, when there are models."""
    from allauth.account.signals import password_reset, user_logged_in  # noqa: PLC0415
    from allauth.mfa import signals as two_step  # noqa: PLC0415

    user_logged_in.connect(_signed_in, dispatch_uid="palyra-signed-in")
    password_reset.connect(_forgotten, dispatch_uid="palyra-forgotten")
    user_login_failed.connect(_failed, dispatch_uid="palyra-failed")
    two_step.authentication_failed.connect(_wrong_code, dispatch_uid="palyra-wrong-code")
    two_step.authenticator_added.connect(_added, dispatch_uid="palyra-two-step-on")
    two_step.authenticator_removed.connect(_removed, dispatch_uid="palyra-two-step-off")
    two_step.authenticator_reset.connect(_reset, dispatch_uid="palyra-new-codes")


def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    from allauth.account.internal.flows.login import (  # noqa: PLC0415
        get_authentication_records,
    )

    used = [one["method"] for one in get_authentication_records(request, user)]
    ways = " and ".join(METHODS.get(one, one) for one in dict.fromkeys(used))
    record(SIGNED_IN, user, {"by": [None, ways]})


def _forgotten(request: HttpRequest, user: User, **_: Any) -> None:
    """Whoever knew the old password is let in no longer, wherever they are. If this browser was
    signed in, its session has ended with the password, and is still being answered. Wrong ones keep
    nobody waiting who has a new one."""
    forget_passwords_tried(request, user.get_username())
    ended = end_sessions(user, but=request.session.session_key)
    record(FORGOTTEN, user, {"sessions ended": [None, ended]})


def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if request is None:
        return
    found = User.objects.filter(username=credentials.get("username") or "").first()
    reason = "" if found is None or found.is_active else "The account is switched off."
    record(FAILED, found or User(username=NOBODY), {}, reason=reason)


def _wrong_code(user: User, **_: Any) -> None:
    record(CODE_FAILED, user, {})


def _added(user: User, authenticator: Any, **_: Any) -> None:
    if authenticator.type == "totp":
        record(TWO_STEP_ON, user, {"two-step sign-in": ["off", "on"]})


def _removed(user: User, authenticator: Any, **_: Any) -> None:
    if authenticator.type == "totp":
        record(TWO_STEP_OFF, user, {"two-step sign-in": ["on", "off"]})


def _reset(user: User, **_: Any) -> None:
    record(NEW_CODES, user, {})


def record_refused_single_sign_on(claim: Claim, outcome: Outcome) -> None:
    """That somebody the identity provider vouches for was not let in, and why."""
    record(
        REFUSED,
        User(username=claim.address[:150] or NOBODY),
        {},
        reason=f"Single sign-on: {outcome.value}.",
    )
