"""What the ledger's list is narrowed by: each a question that an index of the ledger answers.

Keys, people, models and teams are few; they are looked up by name first, so that no text of the
ledger's many rows is ever searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from governance.budgets import WindowKey
from governance.fields import DollarsField
from governance.ledger.opening import calls_of
from governance.models import ApiKey, BudgetWindow, ModelCall, Team
from governance.snapshot import policy_entry
from governance.windows import Period
from providers.models import Provider, ProviderModel

COST_FROM, COST_TO = "cost_from", "cost_to"
KEY_BEGINS = "ply_"
# Digits that every database takes for a key.
LONGEST_KEY = 18
# Longer than any name is; databases refuse to look for what is much longer.
LONGEST_TERM = 256
Calls = QuerySet[ModelCall]


class TermFilter(admin.SimpleListFilter):
    """By a text; without one, nothing is narrowed."""

    def queryset(self, request: HttpRequest, queryset: Calls) -> Calls:
        term = searchable(self.value() or "")
        return self.narrowed(queryset, term) if term else queryset

    def narrowed(self, calls: Calls, term: str) -> Calls:
        """Those of `calls` that `term` names."""
        raise NotImplementedError


class ProviderFilter(TermFilter):
    """By the provider that was used, of those registered: the ledger is not searched for names."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name) for name in Provider.objects.values_list("name", flat=True)]

    def narrowed(self, calls: Calls, term: str) -> Calls:
        return calls.filter(provider=term)


class ModelFilter(TermFilter):
    """By the model that was used, of those in the registry."""

    title = "model"
    parameter_name = "model_used"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        names = ProviderModel.objects.order_by("provider__name", "name")
        return [
            (f"{provider}/{name}", f"{provider}/{name}")
            for provider, name in names.values_list("provider__name", "name")
        ]

    def narrowed(self, calls: Calls, term: str) -> Calls:
        provider, slash, name = term.partition("/")
        return calls.filter(provider=provider, model=name) if slash else calls


class WrittenFilter(TermFilter):
    """One that is filled in rather than picked from a list."""

    template = "admin/written_filter.html"
    hint = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return ()

    def has_output(self) -> bool:
        return True

    @property
    def inputs(self) -> list[tuple[str, str, str]]:
        """Of each input its name, its label and its value."""
        return [(str(self.parameter_name), str(self.title).capitalize(), self.value() or "")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        own = self.expected_parameters()
        # The form starts again at the first page and keeps every other filter.
        self.kept = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in own
            for value in values
        ]
        self.without = changelist.get_query_string(remove=own)
        return iter(())


class KeyFilter(WrittenFilter):
    """By the key: a part of its name, or the key as it is shown."""

    title = "key"
    parameter_name = "key"
    hint = "Part of its name, or the key as it is shown"

    def narrowed(self, calls: Calls, term: str) -> Calls:
        return calls.filter(api_key__in=_few(keys_named(term)))


class PersonFilter(WrittenFilter):
    """By the person who asked: a part of the name to sign in with."""

    title = "person"
    parameter_name = "person"
    hint = "Part of the name they sign in with"

    def narrowed(self, calls: Calls, term: str) -> Calls:
        return calls.filter(user__in=_few(people_named(term)))


class SessionFilter(WrittenFilter):
    """By the session, as its caller called it."""

    title = "session"
    parameter_name = "in_session"
    hint = "Exactly as its caller called it"

    def narrowed(self, calls: Calls, term: str) -> Calls:
        return of_session(calls, term)


class WindowFilter(admin.SimpleListFilter):
    """By the budget window that counts them: where its page leads to, and nowhere else offered."""

    title = "budget window"
    parameter_name = "window"
    template = "admin/window_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return ()

    def has_output(self) -> bool:
        return bool(self.value())

    def queryset(self, request: HttpRequest, queryset: Calls) -> Calls:
        value = self.value() or ""
        windows = BudgetWindow.objects.select_related("policy")
        is_key = value.isascii() and value.isdecimal() and len(value) <= LONGEST_KEY
        self.window = windows.filter(pk=int(value)).first() if is_key else None
        return queryset.none() if self.window is None else counted_by(self.window, queryset)

    def choices(self, changelist: Any) -> Iterator[Any]:
        self.without = changelist.get_query_string(remove=[self.parameter_name])
        return iter(())


class CostFilter(WrittenFilter):
    """By what a call cost, in US dollars, both ends included."""

    title = "cost"
    parameter_name = COST_FROM
    hint = "US dollars. The dearest come first, unless the list is sorted otherwise."

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        given = params.pop(COST_TO, None)
        super().__init__(request, params, model, model_admin)
        if given is not None:
            self.used_parameters[COST_TO] = given[-1] if isinstance(given, list) else given

    def expected_parameters(self) -> list[str | None]:
        return [COST_FROM, COST_TO]

    @property
    def inputs(self) -> list[tuple[str, str, str]]:
        given: Any = self.used_parameters
        return [
            (COST_FROM, "Cost from", given.get(COST_FROM) or ""),
            (COST_TO, "Cost to", given.get(COST_TO) or ""),
        ]

    def queryset(self, request: HttpRequest, queryset: Calls) -> Calls:
        try:
            bounds = {
                f"cost__{'gte' if name == COST_FROM else 'lte'}": nano_dollars(value)
                for name, _, value in self.inputs
                if value.strip()
            }
        except ValidationError:
            messages.error(request, "Cost: give US dollars, such as 0.05.")
            return queryset.none()
        return queryset.filter(**bounds) if bounds else queryset


def searchable(term: str) -> str:
    """What was written, no longer than what every database looks for."""
    return term.strip()[:LONGEST_TERM]


def nano_dollars(text: str) -> int:
    """Written US dollars. Raises `ValidationError`."""
    amount: int | None = DollarsField(max_value=Decimal(10**8)).clean(text.strip())
    return amount or 0


def counted_by(window: BudgetWindow, calls: Calls) -> Calls:
    """Those of `calls` that the window counts, or would have if they had been made."""
    policy = policy_entry(window.policy)
    period = Period(window.starts_at, window.ends_at)
    return calls_of(policy, WindowKey(policy.id, window.scope_value, period), calls)


def of_session(calls: Calls, session: str) -> Calls:
    """The calls of that session. That it is not empty is said so that SQLite finds the index."""
    return calls.filter(~Q(session=""), session=session)


def named(term: str) -> Q:
    """Calls of the team, key, person, model, provider or session that `term` names."""
    teams = Team.objects.filter(Q(name__icontains=term) | Q(slug__icontains=term))
    models = ProviderModel.objects.filter(name__icontains=term)
    providers = Provider.objects.filter(name__icontains=term)
    wanted: list[tuple[str, Callable[[], list[Any]]]] = [
        ("team__in", lambda: _few(teams)),
        ("api_key__in", lambda: _few(keys_named(term))),
        ("user__in", lambda: _few(people_named(term))),
        ("model__in", lambda: sorted(set(models.values_list("name", flat=True)))),
        ("provider__in", lambda: list(providers.values_list("name", flat=True))),
    ]
    found = ~Q(session="") & Q(session=term)
    for lookup, values in wanted:
        names = values()
        if names:
            found |= Q(**{lookup: names})
    return found


def keys_named(term: str) -> QuerySet[ApiKey]:
    """Keys with that in their name, or shown so."""
    if term.startswith(KEY_BEGINS):
        return ApiKey.objects.filter(public_id=term.split("_")[1])
    return ApiKey.objects.filter(name__icontains=term)


def people_named(term: str) -> QuerySet[User]:
    """People with that in the name they sign in with."""
    return User.objects.filter(username__icontains=term)


def _few(rows: QuerySet[Any]) -> list[Any]:
    return list(rows.order_by().values_list("pk", flat=True))
