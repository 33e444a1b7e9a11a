"""Which routing modes hold now, for whom, and switching one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from governance.mode_sample import LOOKED_BACK
from governance.models import ApiKey, BudgetPolicy, RoutingMode, Team, governance_settings
from governance.scope_names import is_number, job_book
from governance.usage.adding import add_up
from governance.usage.frames import frame

INSTALLATION = "installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What has a mode that can be switched here: the installation, or a team by its number."""

    key: str
    name: str
    mode: str
    team_id: int | None = None

    @property
    def permission(self) -> str:
        """Who may switch it: whoever may change the settings, or the team."""
        one = "governancesettings" if self.team_id is None else "team"
        return f"governance.change_{one}"

    @property
    def says(self) -> str:
        """Its mode in a word or two."""
        if not self.mode:
            return "As the installation"
        return RoutingMode(self.mode).label.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamMode:
    """A team's mode, and by which mode its calls of the last thirty days were decided."""

    target: Target
    suggest: int
    dry_run: int
    enforced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentModes:
    """The installation's mode, the teams', and how many budgets, schedules and keys say others."""

    installation: Target
    teams: tuple[TeamMode, ...]
    policies: int
    jobs: int
    keys: int


def targets() -> list[Target]:
    """The installation, and every enabled team by name."""
    return [_installation(), *(_of(team) for team in Team.objects.filter(enabled=True))]


def target_of(key: str) -> Target | None:
    """The target of that key, if there is one."""
    if key == INSTALLATION:
        return _installation()
    team = Team.objects.filter(pk=int(key)).first() if is_number(key) else None
    return None if team is None else _of(team)


def current_modes(now: datetime) -> CurrentModes:
    """What holds now: eight queries at most."""
    found = add_up(
        frame((now - LOOKED_BACK, now), now),
        keys=("team_id", "routing_mode"),
        sums=("calls",),
        where={},
    )
    installation, *teams = targets()

    def calls(target: Target, mode: RoutingMode) -> int:
        return sum(found.get((target.team_id, mode.value), ()))

    return CurrentModes(
        installation=installation,
        teams=tuple(
            TeamMode(
                target=one,
                suggest=calls(one, RoutingMode.SUGGEST),
                dry_run=calls(one, RoutingMode.DRY_RUN),
                enforced=calls(one, RoutingMode.ENFORCED),
            )
            for one in teams
        ),
        policies=BudgetPolicy.objects.filter(enabled=True).exclude(routing_mode="").count(),
        jobs=job_book().with_own_mode(),
        keys=ApiKey.objects.filter(revoked_at=None).exclude(routing_mode="").count(),
    )


def switch(target: Target, mode: str) -> str:
    """Set the mode, and say so. It holds from the next call on."""
    if target.team_id is None:
        settings = governance_settings()
        settings.routing_mode = mode
        settings.save(update_fields=["routing_mode"])
    else:
        Team.objects.filter(pk=target.team_id).update(routing_mode=mode)
    words = RoutingMode(mode).label.partition(":")[0].lower() if mode else "the installation's mode"
    return f"{target.name}: “{words}” holds now, from the next call on."


def _installation() -> Target:
    mode = governance_settings().routing_mode
    return Target(key=INSTALLATION, name="The installation", mode=mode)


def _of(team: Team) -> Target:
    return Target(key=str(team.pk), name=team.name, mode=team.routing_mode, team_id=team.pk)
