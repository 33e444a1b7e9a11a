"""Palyra's answers to what allauth asks: who may sign in, how often one may try, whose account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify

from palyra_site.access import attempts, outbound, sealing
from palyra_site.access.addresses import holders_of
from palyra_site.access.claims import SIGNING_IN, Claim, Outcome, judge
from palyra_site.access.failures import attempts_key
from palyra_site.access.groups import role_by_rights
from palyra_site.access.landing import landing_of
from palyra_site.access.mail import send_later
from palyra_site.access.records import LINKED, record_refused_single_sign_on
from palyra_site.access.two_step import must_use

if TYPE_CHECKING:
    AccountAdapter: Any = object
    MFAAdapter: Any = object
    SocialAdapter: Any = object
else:
    from allauth.account.adapter import DefaultAccountAdapter as AccountAdapter
    from allauth.mfa.adapter import DefaultMFAAdapter as MFAAdapter
    from allauth.socialaccount.adapter import DefaultSocialAccountAdapter as SocialAdapter

TOO_MANY = "too_many_login_attempts"
APP = "allauth.account"
WRONG = "The username or the password is not right."


class Accounts(AccountAdapter):  # type: ignore[misc]
    """Signing in with a password."""

    error_messages = {
        **getattr(AccountAdapter, "error_messages", {}),
        "username_password_mismatch": WRONG,
        "incorrect_password": "That is not your password.",
        "invalid_password_reset": "This link is not good any more.",
        "incorrect_code": "That code is not right. Codes change every half a minute and work once.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Administrators make accounts; nobody makes their own."""
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        user: Any = request.user
        return landing_of(user)

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """Where single sign-on leads somebody who was never here."""
        return self.get_login_redirect_url(request)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("mfa_index")

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # Without the host name, which whoever guesses could vary.
        return attempts_key(credentials.get("username", ""))

    def _delete_login_attempts_cached_email(self, *_: Any, **__: Any) -> None:
        """allauth would forget what failed from this address too; see `records`."""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Refuse, saying until when, what would be one attempt too many.

        The same is said whether or not there is such an account.
        """
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            key = self._get_login_attempts_cache_key(request, **credentials)
            raise too_many(request, key) from None

    def validation_error(self, code: str, *arguments: Any) -> Any:
        """allauth's fault of that code; that one must wait is said with until when."""
        pending = getattr(self.request, "_palyra_waits_for", None)
        if code in {TOO_MANY, "rate_limited"} and pending is not None:
            return too_many(self.request, pending)
        return super().validation_error(code, *arguments)

    def is_reauthentication_required(self, *, app: str) -> bool:
        """Not of who could not: with single sign-on only, and no codes, there is nothing to ask."""
        from allauth.account.internal.flows.reauthentication import (  # noqa: PLC0415
            get_reauthentication_flows,
        )

        asked: bool = super().is_reauthentication_required(app=app)
        return asked and bool(get_reauthentication_flows(self.request.user))

    def get_reset_password_from_key_url(self, key: str) -> str:
        """At the address that people are told, whatever name this request was made by."""
        whose, _, token = key.partition("-")
        words = {"uidb36": whose, "key": token}
        path = reverse("account_reset_password_from_key", kwargs=words)
        return f"{settings.PALYRA_PUBLIC_URL}{path}"

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """To the address that the account has, never to what was typed."""
        super().send_password_reset_mail(user, user.email, context)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In its own time: how long it takes must not say that there is such an account."""
        send_later(self.render_mail(template_prefix, email, context))

    def send_notification_mail(self, *_: Any, **__: Any) -> None:
        """None: the audit trail has it."""


def too_many(request: HttpRequest, key: str) -> ValidationError:
    """That too many attempts failed, with how long to wait."""
    words = attempts.in_words(seconds_to_wait(request, key))
    return ValidationError(
        f"Too many attempts failed. Try again {words}. If this was not you, tell an administrator.",
        code=TOO_MANY,
    )


def seconds_to_wait(request: HttpRequest, key: str) -> float:
    """How long the limits on failed attempts ask for, of this account and of this address."""
    from allauth.core.internal import ratelimit  # noqa: PLC0415 - reads settings

    now = time.time()
    waits = []
    for rate in ratelimit.get_rates(app=APP, action="login_failed"):
        name = ratelimit.get_cache_key(
            request, app=APP, action="login_failed", rate=rate, key=key, user=None
        )
        limit = attempts.Limit(amount=rate.amount, seconds=rate.duration)
        waits.append(attempts.wait(cache.get(name, []), limit, now))
    return attempts.longest(waits)


class TwoStep(MFAAdapter):  # type: ignore[misc]
    """The second step: one-time codes."""

    error_messages = {
        **getattr(MFAAdapter, "error_messages", {}),
        "incorrect_code": Accounts.error_messages["incorrect_code"],
        "cannot_delete_authenticator": "Two-step sign-in is required of you, so it stays on.",
    }

    def can_delete_authenticator(self, authenticator: Any) -> bool:
        """Not while it is required of them."""
        role = role_by_rights(authenticator.user)
        return not must_use(settings.PALYRA_REQUIRE_TWO_STEP, role)

    def encrypt(self, text: str) -> str:
        return sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return sealing.unseal(encrypted_text)

    def get_totp_label(self, user: User) -> str:
        return user.get_username()


class SingleSignOn(SocialAdapter):  # type: ignore[misc]
    """Signing in through an identity provider."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Let in whom the identity provider vouches for, if they are known or may be new.

        Whoever was linked before is known by what the provider calls them; at first, by a verified
        address that exactly one account has.
        """
        from allauth.core.exceptions import ImmediateHttpResponse  # noqa: PLC0415

        if sociallogin.state.get("process") not in {None, SIGNING_IN}:
            raise ImmediateHttpResponse(_not_signed_in(request))
        if sociallogin.is_existing:
            return
        claim = _claim(sociallogin)
        outcome = _outcome(claim)
        if outcome is Outcome.KNOWN:
            _link(request, sociallogin, User.objects.get(pk=claim.holders[0]))
        elif outcome is not Outcome.NEW:
            record_refused_single_sign_on(claim, outcome)
            raise ImmediateHttpResponse(_refusal(request, claim, outcome))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Only those whom `pre_social_login` found to be new and welcome come this far."""
        return _outcome(_claim(sociallogin)) is Outcome.NEW

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """A new account, with no rights: an administrator gives a team or a role."""
        user: User = sociallogin.user
        user.is_staff = user.is_superuser = False
        # Not half an account, where the identity provider says what the database does not take.
        with transaction.atomic():
            saved: User = super().save_user(request, sociallogin, form)
        return saved

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: Any) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        if "\0" in f"{user.email}{user.first_name}{user.last_name}{sociallogin.account.uid}":
            raise ValueError("What the identity provider says of somebody holds a NUL.")
        name = slugify((user.email or "").partition("@")[0]) or slugify(user.username)
        user.username = name[:140]
        return user

    def get_requests_session(self) -> Any:
        return outbound.session()

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Any = None,
        extra_context: Any = None,
    ) -> None:
        outbound.log_failure(exception)


def _claim(sociallogin: Any) -> Claim:
    addresses = [(one.email.lower(), bool(one.verified)) for one in sociallogin.email_addresses]
    address, verified = addresses[0] if addresses else ("", False)
    return Claim(
        address=address,
        verified=verified,
        holders=tuple(user.pk for user in holders_of(address)),
        domains=tuple(settings.PALYRA_OIDC_DOMAINS),
    )


def _outcome(claim: Claim) -> Outcome:
    """allauth makes no account for an address that it knows of another, with that or without."""
    from allauth.account.models import EmailAddress  # noqa: PLC0415 - once there are models

    outcome = judge(claim)
    known = EmailAddress.objects.filter(email__iexact=claim.address)
    return Outcome.SEVERAL if outcome is Outcome.NEW and known.exists() else outcome


def _link(request: HttpRequest, sociallogin: Any, user: User) -> None:
    from governance.audit import record  # noqa: PLC0415

    with transaction.atomic():
        sociallogin.connect(request, user)
        record(LINKED, user, {})


def _not_signed_in(request: HttpRequest) -> HttpResponse:
    return render(request, "socialaccount/authentication_error.html", status=401)


def _refusal(request: HttpRequest, claim: Claim, outcome: Outcome) -> HttpResponse:
    context = {"outcome": outcome, "address": claim.address}
    return render(request, "access/not_welcome.html", context, status=403)
