"""The form of a new scheduled prompt, filled in with a prompt that somebody has tried elsewhere."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from scheduling import prompts

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

# What a draft may say. Prompts are taken literally: nobody has written a template there.
PLAIN = ("team", "model", "max_output_tokens")
LITERAL = ("prompt", "system_prompt")


class DraftPage(Base):
    """`draft/`, to which a filled-in form is posted. Nothing is stored: a prompt is too long for an
    address, and is carried by no session."""

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "draft/", self.admin_site.admin_view(self.draft_view), name="scheduling_cronjob_draft"
        )
        return [own, *super().get_urls()]

    @method_decorator(require_POST)
    def draft_view(self, request: HttpRequest) -> HttpResponse:
        """The form as if it had been opened with these fields filled in; it is saved from there."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        opened: Any = copy.copy(request)
        opened.method = "GET"
        opened.GET = _filled_in(request.POST)
        return self.add_view(opened, form_url=reverse(self._address("add")))


def _filled_in(sent: QueryDict) -> QueryDict:
    """The fields of the form that were sent."""
    plain = {name: str(sent[name]) for name in PLAIN if sent.get(name)}
    literal = {name: prompts.literal(str(sent[name])) for name in LITERAL if sent.get(name)}
    fields = QueryDict(mutable=True)
    fields.update({**plain, **literal})
    return fields
