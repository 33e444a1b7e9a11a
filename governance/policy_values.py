"""The one that a budget policy's scope names: from what people write to what is stored."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib.auth.models import User

from governance import scope_names
from governance.models import ApiKey, BudgetPolicy, BudgetScope, Team
from governance.scope_names import is_number
from providers.models import Provider, ProviderModel

LONGEST_SESSION = 128


def read_value(scope: str, team: Team | None, written: str) -> str:
    """What is stored for `written`; empty for empty. Raises `ValueError` in words if it names
    nothing there is, where that can be known.

    A person is given by user name or, if nobody has that name, by number, a key by its public part
    or number, a job by its identifier, a model as `provider/model`, and a session by its name in
    the policy's team.
    """
    written = written.strip()
    reader = _READERS.get(scope)
    return reader(team, written) if written and reader else written


def written_value(policy: BudgetPolicy) -> str:
    """The policy's value as a person would write it; `read_value` gives the value back."""
    value = policy.value
    if policy.scope == BudgetScope.SESSION:
        return value.partition(":")[2]
    if policy.scope == BudgetScope.USER and value:
        user = _numbered(value)
        # Of a user name that is read as somebody else's, only the number is left.
        return user.username if user and _person(user.username.strip()) == user else value
    if policy.scope == BudgetScope.API_KEY and value:
        return ApiKey.objects.filter(pk=value).values_list("public_id", flat=True).first() or value
    return value


def _user(_: Team | None, written: str) -> str:
    user = _person(written)
    if user is None:
        raise ValueError(f"There is no person “{written}”: give a user name, or a user's number.")
    return str(user.pk)


def _person(written: str) -> User | None:
    """Who is called that, before whose number it is: a user name may be all digits."""
    return User.objects.filter(username=written).first() or _numbered(written)


def _numbered(written: str) -> User | None:
    return User.objects.filter(pk=int(written)).first() if is_number(written) else None


def _session(team: Team | None, written: str) -> str:
    if team is None:
        # Which the policy itself refuses, in words.
        return written
    name = written.removeprefix(f"{team.pk}:")
    if len(name) > LONGEST_SESSION:
        raise ValueError(f"A session's name has at most {LONGEST_SESSION} characters.")
    return f"{team.pk}:{name}"


def _api_key(team: Team | None, written: str) -> str:
    keys = ApiKey.objects.select_related("team")
    public = written.removeprefix("ply_").partition("_")[0]
    key = keys.filter(public_id=public).first()
    if key is None and is_number(written):
        key = keys.filter(pk=int(written)).first()
    if key is None:
        raise ValueError(f"There is no API key “{written}”: give the part of it after “ply_”.")
    if team is not None and key.team_id != team.pk:
        raise ValueError(f"This key is {key.team}'s, so its calls are none of {team}'s.")
    return str(key.pk)


def _job(team: Team | None, written: str) -> str:
    try:
        job = UUID(written)
    except ValueError:
        raise ValueError(f"“{written}” is not the identifier of a scheduled job.") from None
    if str(job) not in scope_names.names([(BudgetScope.JOB, str(job))]).jobs:
        raise ValueError(f"There is no scheduled job “{written}”.")
    if team is not None and str(job) not in scope_names.of_team(team, None, [BudgetScope.JOB]).jobs:
        raise ValueError(f"This scheduled job is not one of {team}'s.")
    return str(job)


def _provider(_: Team | None, written: str) -> str:
    if not Provider.objects.filter(name=written).exists():
        raise ValueError(f"There is no provider “{written}”.")
    return written


def _model(_: Team | None, written: str) -> str:
    provider, _slash, name = written.partition("/")
    if not ProviderModel.objects.filter(provider__name=provider, name=name).exists():
        raise ValueError(f"There is no model “{written}”: give it as provider/model.")
    return written


_READERS: dict[str, Callable[[Team | None, str], str]] = {
    BudgetScope.USER: _user,
    BudgetScope.SESSION: _session,
    BudgetScope.API_KEY: _api_key,
    BudgetScope.JOB: _job,
    BudgetScope.PROVIDER: _provider,
    BudgetScope.MODEL: _model,
}
