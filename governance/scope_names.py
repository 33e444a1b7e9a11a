"""What the values of budgets' scopes are called, and which of them are a team's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from django.contrib.auth.models import User

from governance.models import ApiKey, BudgetPolicy, BudgetScope, Team

EVERY_ONE = {
    BudgetScope.GLOBAL: "everyone together",
    BudgetScope.TEAM: "each team",
    BudgetScope.USER: "each person",
    BudgetScope.SESSION: "each session",
    BudgetScope.API_KEY: "each key",
    BudgetScope.JOB: "each scheduled job",
    BudgetScope.PROVIDER: "each provider",
    BudgetScope.MODEL: "each model",
}
MOST_DIGITS = 18
# What a provider or a model is used for by others counts for a team as well.
SHARED = (BudgetScope.GLOBAL, BudgetScope.PROVIDER, BudgetScope.MODEL)


class JobBook(Protocol):
    """What is known of scheduled jobs, which another app keeps."""

    def names(self, ids: Iterable[UUID]) -> Mapping[UUID, str]:
        """What the jobs are called; one that is gone is left out."""

    def of_team(self, team_id: int) -> Iterable[UUID]:
        """The team's jobs."""

    def with_own_mode(self) -> int:
        """How many enabled jobs have a routing mode of their own."""


class NoJobs:
    """Where nothing keeps scheduled jobs, there are none."""

    def names(self, ids: Iterable[UUID]) -> Mapping[UUID, str]:
        """None."""
        return {}

    def of_team(self, team_id: int) -> Iterable[UUID]:
        """None."""
        return ()

    def with_own_mode(self) -> int:
        """None."""
        return 0


_books: list[JobBook] = [NoJobs()]


def register_job_book(book: JobBook) -> None:
    """Have scheduled jobs looked up in `book`."""
    _books[:] = [book]


def job_book() -> JobBook:
    """Where scheduled jobs are looked up."""
    return _books[0]


@dataclass(frozen=True, slots=True)
class Names:
    """The names of some values; one that is gone is called by its identifier."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    jobs: Mapping[str, str] = field(default_factory=dict)

    def whose(self, scope: str, value: str) -> str:
        """Whose calls are counted for that value, in words; each of its kind if it is empty."""
        if not value:
            return EVERY_ONE[BudgetScope(scope)]
        if scope == BudgetScope.TEAM:
            return self.teams[value].name if value in self.teams else f"team {value}"
        if scope == BudgetScope.SESSION:
            return f"session {value.partition(':')[2]}"
        if scope == BudgetScope.API_KEY:
            return f"key {self.keys[value].name if value in self.keys else value}"
        if scope == BudgetScope.JOB:
            return f"job {self.jobs.get(value, value)}"
        return self.people.get(value, value) if scope == BudgetScope.USER else value

    def team_of(self, scope: str, value: str) -> Team | None:
        """The one team whose calls are counted for that value, if it says so."""
        if scope == BudgetScope.TEAM:
            return self.teams.get(value)
        if scope == BudgetScope.SESSION:
            return self.teams.get(value.partition(":")[0])
        key = self.keys.get(value) if scope == BudgetScope.API_KEY else None
        return key.team if key else None


def is_number(written: str) -> bool:
    """Whether that can be the number of a person, a key or a team."""
    return written.isascii() and written.isdigit() and len(written) <= MOST_DIGITS


def names(values: Iterable[tuple[str, str]]) -> Names:
    """What the values, each with its scope, are called: at most one query for each kind. A value
    that cannot be an identifier of its kind is called by itself."""
    wanted: dict[str, set[str]] = {}
    for scope, value in values:
        if value:
            wanted.setdefault(scope, set()).add(value)
    teams = wanted.get("team", set()) | {
        value.partition(":")[0] for value in wanted.get("session", ())
    }
    people, keys, jobs = (wanted.get(scope, set()) for scope in ("user", "api_key", "job"))
    return Names(
        teams=_teams(_numbers(teams)),
        people=_people(_numbers(people)),
        keys={str(one.pk): one for one in _keys(_numbers(keys))},
        jobs=_jobs(_identifiers(jobs)),
    )


def _numbers(values: Iterable[str]) -> list[int]:
    return [int(one) for one in values if is_number(one)]


def _identifiers(values: Iterable[str]) -> list[UUID]:
    found = []
    for one in values:
        try:
            found.append(UUID(one))
        except ValueError:
            continue
    return found


def _teams(ids: Collection[int]) -> dict[str, Team]:
    return {str(pk): one for pk, one in Team.objects.in_bulk(ids).items()} if ids else {}


def _people(ids: Collection[int]) -> dict[str, str]:
    found = User.objects.in_bulk(ids) if ids else {}
    return {str(pk): one.get_full_name() or one.get_username() for pk, one in found.items()}


def _jobs(ids: Collection[UUID]) -> dict[str, str]:
    found = job_book().names(ids) if ids else {}
    return {str(pk): name for pk, name in found.items()}


def _keys(ids: Collection[int]) -> Iterable[ApiKey]:
    return ApiKey.objects.filter(pk__in=ids).select_related("team") if ids else ()


@dataclass(frozen=True, slots=True)
class OfTeam:
    """What a team may see of policies that count other teams as well."""

    team_id: int
    person: str
    keys: frozenset[str]
    jobs: frozenset[str]

    def may_see(self, policy: BudgetPolicy, value: str) -> bool:
        """Whether how the policy stands for that value is the team's to see."""
        if policy.team_id == self.team_id or policy.scope in SHARED:
            return True
        if policy.scope == BudgetScope.SESSION:
            return value.partition(":")[0] == str(self.team_id)
        own = {
            BudgetScope.TEAM: frozenset([str(self.team_id)]),
            BudgetScope.USER: frozenset([self.person]),
            BudgetScope.API_KEY: self.keys,
            BudgetScope.JOB: self.jobs,
        }
        return value in own[BudgetScope(policy.scope)]


def of_team(team: Team, person_id: int | None, scopes: Iterable[str]) -> OfTeam:
    """What is the team's, with one of its people; asked only for the `scopes` that need it."""
    asked = set(scopes)
    keys = (
        ApiKey.objects.filter(team=team) if BudgetScope.API_KEY in asked else ApiKey.objects.none()
    )
    jobs = job_book().of_team(team.pk) if BudgetScope.JOB in asked else ()
    return OfTeam(
        team_id=team.pk,
        person="" if person_id is None else str(person_id),
        keys=frozenset(str(pk) for pk in keys.values_list("pk", flat=True)),
        jobs=frozenset(str(one) for one in jobs),
    )
