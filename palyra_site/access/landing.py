"""Where somebody goes once they are signed in and were going nowhere in particular."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.urls import reverse


def landing_of(user: User) -> str:
    """The console for those who may enter it, their team for everyone else."""
    return reverse("admin:index") if user.is_staff else reverse("team:index")
