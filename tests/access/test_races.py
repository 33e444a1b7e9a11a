"""What two do at the same moment: there always is an administrator."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse

from palyra_site.access import groups
from palyra_site.access.roles import Role
from tests.access.test_people import make
from tests.console.conftest import signed_in

ROUNDS = 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["lower", "switch off", "delete"])
def test_two_administrators_do_not_remove_each_other(way: str) -> None:
    for number in range(ROUNDS):
        pair = [make(f"{name}-{number}", Role.ADMINISTRATOR) for name in ("ada", "olga")]
        gate = Barrier(len(pair))
        threads = [
            Thread(target=_remove, args=(signed_in(one), other, way, gate))
            for one, other in (pair, reversed(pair))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert groups.administrators().count() == 1
        User.objects.all().delete()


def _remove(client: Client, other: User, way: str, gate: Barrier) -> None:
    try:
        sent = {"username": other.username, "role": "Administrator", "is_active": "on"}
        if way == "lower":
            sent["role"] = "Member"
        elif way == "switch off":
            del sent["is_active"]
        gate.wait()
        if way == "delete":
            client.post(reverse("admin:auth_user_delete", args=[other.pk]), {"post": "yes"})
        else:
            client.post(reverse("admin:auth_user_change", args=[other.pk]), sent)
    finally:
        connections.close_all()
