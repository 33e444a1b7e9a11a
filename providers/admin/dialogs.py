"""What a page may show in a dialog over itself: the same view answers both ways.

A template that begins with `{% extends layout %}` is a page of the console, or, where the page's
script asked for it, its content alone, which `dialogs.js` puts into the dialog. Without that script
there are only pages.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.cache import patch_vary_headers

HEADER = "X-Palyra-Dialog"
PAGE, FRAGMENT = "admin/base_site.html", "admin/dialog_content.html"


def for_dialog(request: HttpRequest) -> bool:
    """Whether the answer is to be shown in a dialog."""
    return HEADER in request.headers


def page_or_dialog(
    request: HttpRequest, template: str, context: dict[str, Any]
) -> TemplateResponse:
    """The template as a page, or as a dialog's content."""
    layout = FRAGMENT if for_dialog(request) else PAGE
    shown = {**context, "layout": layout, "in_dialog": for_dialog(request)}
    response = TemplateResponse(request, template, shown)
    patch_vary_headers(response, [HEADER])
    return response
