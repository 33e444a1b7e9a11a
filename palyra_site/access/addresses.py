"""Whose an e-mail address is."""

from __future__ import annotations

from django.contrib.auth.models import User


def holders_of(address: str) -> list[User]:
    """The accounts with that address, in small or capital letters.

    A database may take several letters for one: to PostgreSQL ı is an I and ſ an S, and whoever has
    the one address would be taken for who has the other. So each is looked at.
    """
    found = User.objects.filter(email__iexact=address).order_by("pk") if address else ()
    return [user for user in found if user.email.lower() == address.lower()]
