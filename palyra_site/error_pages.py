"""What an error page may show, where error pages show anything (PALYRA_DEBUG)."""

from __future__ import annotations

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class SecretsStayIn(SafeExceptionReporterFilter):
    """Keeps secrets off the page even while debugging, for a page is soon copied elsewhere.

    A secret on its way into the vault passes through many functions, Django's own among them, so
    no function's variables are shown: the code and the traceback are.
    """

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|REDIS|URL", re.IGNORECASE
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        return dict[str, Any]().items()
