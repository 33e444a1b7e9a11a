"""What each role may do: the one table, and who may give which role to whom. Pure.

A role is a group that Palyra makes for itself (`groups`), so that Django's permissions stay the one
thing that every page, action and API asks for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

# The apps whose pages are the console's.
OURS = ("providers", "governance", "scheduling")
VIEW = "view_"


class Role(StrEnum):
    """What a person is in the console. Those of `GROUPS` are groups of that name."""

    OWNER = "Owner"
    ADMINISTRATOR = "Administrator"
    OPERATOR = "Operator"
    AUDITOR = "Auditor"
    OTHER = "Other"
    MEMBER = "Member"


GROUPS = (Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR)
IN_WORDS = {
    Role.OWNER: "everything, groups and other owners included",
    Role.ADMINISTRATOR: "everything but owners and groups",
    Role.OPERATOR: "runs things: schedules, approvals, alerts, breakers; no secrets, no people",
    Role.AUDITOR: "sees everything and changes nothing",
    Role.OTHER: "the console, with what their groups and their own permissions say",
    Role.MEMBER: "team pages only",
}
# Administrators give people their roles; what a group may do is for owners.
OF_ADMINISTRATORS = frozenset(
    {"auth.view_user", "auth.add_user", "auth.change_user", "auth.delete_user", "auth.view_group"}
)
# An operator keeps things running with what administrators have set: not the budgets themselves,
# nor prices, providers, teams, keys or settings, for these decide who spends what and where to.
OF_OPERATORS = frozenset(
    {
        "scheduling.add_cronjob",
        "scheduling.change_cronjob",
        "scheduling.delete_cronjob",
        "scheduling.change_cronrun",
        "scheduling.add_exclusioncalendar",
        "scheduling.change_exclusioncalendar",
        "scheduling.delete_exclusioncalendar",
        "scheduling.change_maintenancejob",
        "governance.use_playground",
        "governance.decide_approval",
        "governance.acknowledge_alert",
        "governance.change_delivery",
        "providers.operate_provider",
    }
)
NOT_SEEN_BY_OPERATORS = frozenset({"providers.view_secret", "providers.view_credential"})
# Each reading of kept prompts and answers is in the audit trail, an auditor's as well.
SEEN_BY_AUDITORS = frozenset({"auth.view_user", "auth.view_group", "governance.read_calltext"})


def permissions_of(role: Role, existing: Iterable[str]) -> frozenset[str]:
    """What `role` may do of all the permissions there are, each such as `auth.view_user`.

    An owner is asked for none; the others have none by their role.
    """
    known = frozenset(existing)
    ours = frozenset(one for one in known if one.partition(".")[0] in OURS)
    seen = frozenset(one for one in ours if one.partition(".")[2].startswith(VIEW))
    match role:
        case Role.ADMINISTRATOR:
            return ours | (OF_ADMINISTRATORS & known)
        case Role.OPERATOR:
            return (seen - NOT_SEEN_BY_OPERATORS) | (OF_OPERATORS & known)
        case Role.AUDITOR:
            return seen | (SEEN_BY_AUDITORS & known)
        case _:
            return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What somebody may do in the console now."""

    key: int | None
    is_owner: bool
    permissions: frozenset[str] = frozenset()

    def covers(self, other: Standing) -> bool:
        """Whether they may do all that `other` may."""
        if self.is_owner:
            return True
        return not other.is_owner and other.permissions <= self.permissions


def may_handle(one: Standing, other: Standing) -> bool:
    """Whether `one` may change `other`'s account, given the permission to change people.

    Nobody takes over the account of somebody who may do more than they may.
    """
    return one.covers(other)


def may_set_rights(one: Standing, other: Standing) -> bool:
    """The same of what `other` may do, which nobody sets for themselves."""
    return one.key != other.key and one.covers(other)


def roles_to_give(one: Standing, existing: Iterable[str]) -> tuple[Role, ...]:
    """The roles that `one` may give to others: none that may do more than they may."""
    known = frozenset(existing)
    return tuple(
        role
        for role in Role
        if one.covers(
            Standing(
                key=None,
                is_owner=role is Role.OWNER,
                permissions=permissions_of(role, known),
            )
        )
    )
