"""Who may see and do what on a team's pages: the one place for object permissions there.

A member sees the team's budgets, calls, schedules and keys, and revokes keys of their own making; a
manager also revokes everyone's. A superuser is let into every team as a manager. Anyone else is
told 404, so that not even the team's existence shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from governance.models import ApiKey, Membership, MembershipRole, Team

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamAccess:
    """A person let into one team's pages."""

    team: Team
    user: User
    is_manager: bool

    @property
    def has_other_teams(self) -> bool:
        """Whether there is another team to switch to."""
        return teams_of(self.user).exclude(pk=self.team.pk).exists()

    def may_revoke(self, key: ApiKey) -> bool:
        """Managers may revoke every key of the team, members those they created."""
        if key.team_id != self.team.pk:
            return False
        return self.is_manager or key.created_by_id == self.user.pk


def teams_of(user: User) -> QuerySet[Team]:
    """The teams whose pages `user` may open, by name."""
    teams: QuerySet[Team] = Team.objects.order_by("name", "slug")
    return teams if user.is_superuser else teams.filter(memberships__user=user)


def access_to(slug: str, user: User) -> TeamAccess | None:
    """`user`'s access to the team of that slug, or None if there is no such team for them."""
    team = teams_of(user).filter(slug=slug).first()
    if team is None:
        return None
    is_manager = (
        user.is_superuser
        or Membership.objects.filter(team=team, user=user, role=MembershipRole.MANAGER).exists()
    )
    return TeamAccess(team=team, user=user, is_manager=is_manager)


def team_page(
    view: Callable[Concatenate[HttpRequest, TeamAccess, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, str, P], HttpResponse]:
    """Open `view` to those who may see the team named in the address, in the team's time zone.

    The view is given the `TeamAccess` in place of the slug. Who is not signed in is sent to sign
    in; who may not see the team gets 404.
    """

    @wraps(view)
    def page(request: HttpRequest, team: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        access = access_to(team, cast(User, request.user))
        if access is None:
            raise Http404
        with timezone.override(access.team.zone):
            return view(request, access, *args, **kwargs)

    return cast("Callable[Concatenate[HttpRequest, str, P], HttpResponse]", login_required(page))
