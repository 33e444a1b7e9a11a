"""What one test made is there for the next as well, without what the first did to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from governance.models import Team
from tests import keeping

pytestmark = pytest.mark.django_db
TEN_PAST = timezone.now().replace(minute=10)
made: list[Team] = []


def make() -> Team:
    team: Team = Team.objects.create(slug="blue", name="Blue")
    made.append(team)
    return team


def made_at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> Team:
    monkeypatch.setattr(keeping, "timezone", SimpleNamespace(now=lambda: moment))
    return keeping.made_once(make)


@pytest.mark.parametrize("time", ["first", "second"])
def test_it_is_made_once_and_is_as_it_was(time: str, monkeypatch: pytest.MonkeyPatch) -> None:
    team = made_at(TEN_PAST, monkeypatch)
    assert (team.name, Team.objects.get().name) == ("Blue", "Blue")
    assert Team.objects.get() == team
    assert len(made) == 1
    team.name = "Red"
    team.save()


@pytest.mark.parametrize("away", [keeping.FRESH, timedelta(minutes=51)])
def test_what_is_old_or_of_another_hour_is_made_anew(
    away: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(made)
    made_at(TEN_PAST + timedelta(hours=3) + away, monkeypatch)
    assert len(made) == before + 1


def test_beside_other_rows_it_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    Team.objects.create(slug="red", name="Red")
    before = len(made)
    made_at(TEN_PAST, monkeypatch)
    assert len(made) == before + 1


def test_what_changes_rows_that_there_were_is_made_each_time() -> None:
    red = Team.objects.create(slug="red", name="Red")

    def change() -> None:
        Team.objects.update(name="Green")

    for _ in range(2):
        keeping.made_once(change)
        red.refresh_from_db()
        assert red.name == "Green"
        Team.objects.update(name="Red")
