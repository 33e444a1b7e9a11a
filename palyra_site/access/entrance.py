"""The way into the console, for those who are not let in yet. Imports no model."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render


def to_sign_in(following: str) -> HttpResponseRedirect:
    """To the page to sign in on, and from there to `following`."""
    return redirect_to_login(following)


def refused_console(request: HttpRequest) -> HttpResponse:
    """For who is signed in, and may not enter the console."""
    return render(request, "access/not_in_console.html", status=HTTPStatus.FORBIDDEN)
