"""The form of a new scheduled prompt, filled in with a prompt that somebody has tried elsewhere."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse, QueryDict

from governance.models import TaskClass
from scheduling import prompts

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

DRAFT = "_draft"
# What a draft may say. Prompts are taken literally: nobody has written a template there.
PLAIN = ("team", "model", "routing_mode", "max_output_tokens")
LITERAL = ("prompt", "system_prompt")


class DraftPage(Base):
    """The form of a new object, to which another page's form is posted with the mark `DRAFT`.

    Nothing is stored by that: a prompt is too long for an address, and no session carries it.
    """

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form; of a draft, as if it had been opened with those fields filled in."""
        if request.method == "POST" and DRAFT in request.POST:
            opened: Any = copy.copy(request)
            opened.method = "GET"
            opened.GET = _filled_in(request.POST)
            request = opened
        return super().add_view(request, form_url, extra_context)


def _filled_in(sent: QueryDict) -> QueryDict:
    """The fields of the form that were sent."""
    plain = {name: str(sent[name]) for name in PLAIN if sent.get(name)}
    task_class = sent.get("task_class")
    # That kind is what people try with, and seldom what a schedule is for: it keeps its own.
    if task_class and task_class != TaskClass.PRIMARY_INTERACTIVE:
        plain["task_class"] = str(task_class)
    literal = {name: prompts.literal(str(sent[name])) for name in LITERAL if sent.get(name)}
    fields = QueryDict(mutable=True)
    fields.update({**plain, **literal})
    return fields
