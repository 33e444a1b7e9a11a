"""Who asks through the JSON API, and for whom they may speak.

A team's key speaks for its team and holds no permission. A person speaks for the teams they are a
member of and, with a permission given in the console, for the whole organisation.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404

from governance.access import access_to
from governance.models import ApiKey, Team

CHOICES_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever sent a request: exactly one of `key` and `person` is set.

    `permission` is always a name such as “governance.view_modelcall”.
    """

    key: ApiKey | None = None
    person: User | None = None

    def may(self, permission: str) -> bool:
        """Whether they may do that anywhere in the organisation."""
        person = self.person
        if person is None:
            return False
        return person.is_superuser or (person.is_staff and person.has_perm(permission))

    def require(self, permission: str) -> None:
        """Raise `PermissionDenied`, saying what is missing, unless `may(permission)`."""
        if self.may(permission):
            return
        who = "A team's key" if self.key else "Your account"
        raise PermissionDenied(
            f"{who} may not do this: it takes the permission “{permission}”, which an "
            "administrator gives to people in the console."
        )

    def teams(self, permission: str) -> QuerySet[Team]:
        """Every team with that permission, otherwise their own."""
        everyone: QuerySet[Team] = Team.objects.order_by("name", "slug")
        if self.may(permission):
            return everyone
        if self.key is not None:
            return everyone.filter(pk=self.key.team_id)
        return everyone.filter(memberships__user=self.person)

    def within(self, permission: str, path: str = "team") -> Q:
        """A condition on rows: that the team at `path` is one of `teams(permission)`."""
        if self.may(permission):
            return Q()
        return Q(**{f"{path}__in": self.teams(permission).order_by().values("pk")})

    def team(self, slug: str | None, permission: str) -> Team:
        """The team of that slug or, without one, the only team there is to mean.

        Raises `Http404` for a team that does not exist or is not theirs, which look the same, and
        `ValidationError` if a team has to be named and was not.
        """
        teams = self.teams(permission)
        if slug is not None:
            team = teams.filter(slug=slug).first()
            if team is None:
                raise Http404(f"There is no team “{slug}” that you may act for.")
            return team
        choices = list(teams[: CHOICES_NAMED + 1])
        if len(choices) == 1:
            return choices[0]
        raise ValidationError({"team": _which_team(choices)})

    def is_of(self, team_id: int) -> bool:
        """Whether it is their own team, whatever else they may see."""
        if self.key is not None:
            return self.key.team_id == team_id
        return Team.objects.filter(pk=team_id, memberships__user=self.person).exists()

    def require_in(self, team_id: int, permission: str) -> None:
        """Raise `PermissionDenied` unless that team is one of `teams(permission)`."""
        if not self.is_of(team_id):
            self.require(permission)

    def require_person(self, doing: str) -> User:
        """The person who asks. Raises `PermissionDenied` for a key, saying what `doing` is."""
        if self.person is None:
            raise PermissionDenied(
                f"{doing} needs a person: sign in instead of sending a team's key."
            )
        return self.person

    def may_revoke(self, key: ApiKey) -> bool:
        """A key may revoke itself; a person what the team's pages or their permission allow."""
        if self.person is None:
            return self.key is not None and self.key.pk == key.pk
        if self.may("governance.change_apikey"):
            return True
        access = access_to(key.team.slug, self.person)
        return access is not None and access.may_revoke(key)


def _which_team(choices: list[Team]) -> str:
    if not choices:
        return "You are not a member of any team. Ask an administrator to add you to one."
    named = ", ".join(team.slug for team in choices[:CHOICES_NAMED])
    more = " and others" if len(choices) > CHOICES_NAMED else ""
    return f"Say which team: {named}{more}."
