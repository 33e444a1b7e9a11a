"""What Ctrl+K finds: every page and object that the person may open now, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Model, UUIDField
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

MOST_OF_EACH = 5
# Written by the system, in numbers: they are looked through on their own pages, which are offered.
LOOKED_THROUGH = (
    "governance.modelcall",
    "scheduling.cronrun",
    "governance.auditentry",
    "governance.delivery",
    "governance.budgetwindow",
    "governance.processheartbeat",
)
OFFERED = LOOKED_THROUGH[:3]
KEY_BEGINS = "ply_"
UNKNOWN_ICON = "data_object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something to open."""

    title: str
    description: str
    link: str
    icon: str = UNKNOWN_ICON


Registry = Mapping[type[Model], Any]


def find(
    request: HttpRequest, term: str, registry: Registry, sidebar: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What `term` names, as Unfold's palette shows it: pages first, then objects."""
    icons = {str(item["link"]): item["icon"] for group in sidebar for item in group["items"]}
    identifier = _identifier(term)
    if identifier is not None:
        results = _by_identifier(request, identifier, registry, icons)
    else:
        results = _by_name(request, term, registry, sidebar, icons)
    yield from (asdict(one) for one in results)


def _by_name(
    request: HttpRequest,
    term: str,
    registry: Registry,
    sidebar: list[dict[str, Any]],
    icons: Mapping[str, str],
) -> Iterator[Found]:
    words = term.lower().split()
    for page in pages(request, registry, sidebar):
        if all(word in f"{page.title} {page.description}".lower() for word in words):
            yield page
    # A key that is pasted whole: its public part names it.
    name = term.split("_")[1] if term.startswith(KEY_BEGINS) else term
    for model, admin in registry.items():
        if model._meta.label_lower in LOOKED_THROUGH or not admin.search_fields:
            continue
        if admin.has_view_or_change_permission(request):
            found, _ = admin.get_search_results(request, admin.get_queryset(request), name)
            yield from (_object(model, one, icons) for one in found[:MOST_OF_EACH])
    yield from _searches(request, term, registry, icons)


def pages(
    request: HttpRequest, registry: Registry, sidebar: list[dict[str, Any]]
) -> Iterator[Found]:
    """Every page of the console that is not of one object and that this person may open."""
    for group in sidebar:
        for item in group["items"]:
            if item["has_permission"]:
                yield Found(
                    title=str(item["title"]),
                    description=group.get("title") or "Palyra",
                    link=str(item["link"]),
                    icon=item["icon"],
                )
    for model, admin in registry.items():
        what = capfirst(str(model._meta.verbose_name_plural))
        if admin.has_add_permission(request):
            title = f"Add: {model._meta.verbose_name}"
            yield Found(title=title, description=what, link=_address(model, "add"), icon="add")
        for page in admin.pages:
            if getattr(admin, f"has_{page.permission}_permission")(request):
                link = reverse(page.view)
                yield Found(title=page.title, description=what, link=link, icon=page.icon)
    yield Found(
        title="Your settings",
        description="Time zone",
        link=reverse("admin:preferences"),
        icon="manage_accounts",
    )
    yield Found(
        title="Your account",
        description="Change password, two-step sign-in, where you are signed in",
        link=reverse("mfa_index"),
        icon="password",
    )


def _searches(
    request: HttpRequest, term: str, registry: Registry, icons: Mapping[str, str]
) -> Iterator[Found]:
    """The lists of what is too much to be found here, searched for the same."""
    for model, admin in registry.items():
        if model._meta.label_lower in OFFERED and admin.has_view_or_change_permission(request):
            address = _address(model, "changelist")
            yield Found(
                title=f"{capfirst(str(model._meta.verbose_name_plural))} with “{term}”",
                description="Search",
                link=f"{address}?{urlencode({'q': term})}",
                icon=icons.get(address, UNKNOWN_ICON),
            )


def _by_identifier(
    request: HttpRequest, identifier: UUID, registry: Registry, icons: Mapping[str, str]
) -> Iterator[Found]:
    """Whatever has that identifier, and the calls of a run or a job that has it."""
    for model, admin in registry.items():
        if not admin.has_view_or_change_permission(request):
            continue
        rows = admin.get_queryset(request)
        if model._meta.label_lower == "governance.modelcall":
            rows, _ = admin.get_search_results(request, rows, str(identifier))
        elif isinstance(model._meta.pk, UUIDField):
            rows = rows.filter(pk=identifier)
        else:
            continue
        yield from (_object(model, one, icons) for one in rows[:MOST_OF_EACH])


def _object(model: type[Model], one: Model, icons: Mapping[str, str]) -> Found:
    return Found(
        title=str(one),
        description=capfirst(str(model._meta.verbose_name)),
        link=_address(model, "change", one.pk),
        icon=icons.get(_address(model, "changelist"), UNKNOWN_ICON),
    )


def _address(model: type[Model], view: str, *arguments: Any) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{view}", args=arguments)


def _identifier(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None
