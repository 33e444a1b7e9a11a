"""A new password for who forgot theirs: by a link to their e-mail address, if e-mail is set up."""

from __future__ import annotations

from typing import cast

from allauth.account import views as account
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy

_new_password = account.PasswordResetFromKeyView.as_view(success_url=reverse_lazy("account_login"))


def ask(request: HttpRequest) -> HttpResponse:
    """Ask for a link; the answer is the same whether or not anybody has that address."""
    if not settings.PALYRA_EMAIL:
        return render(request, "access/forgotten.html")
    return cast(HttpResponse, account.password_reset(request))


def sent(request: HttpRequest) -> HttpResponse:
    """What there is to do now."""
    return cast(HttpResponse, account.password_reset_done(request))


def new_password(request: HttpRequest, uidb36: str, key: str) -> HttpResponse:
    """Where the link leads. It is good for an hour, and once."""
    return cast(HttpResponse, _new_password(request, uidb36=uidb36, key=key))
