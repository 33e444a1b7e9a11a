"""Error pages show code, and nothing that must not be shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
from pytest_django import Settings

HIDDEN = "hunter2-must-not-be-shown"


@pytest.mark.parametrize("debug", [False, True])
def test_settings_and_variables_stay_in(
    settings: Settings, rf: RequestFactory, debug: bool
) -> None:
    settings.DEBUG = debug
    settings.PALYRA_VAULT_KEY = HIDDEN
    settings.Q_CLUSTER = {"redis": f"redis://:{HIDDEN}@cache/0"}

    def fails(argument: str) -> None:
        raise RuntimeError("with an argument")

    try:
        fails(HIDDEN)
    except RuntimeError as error:
        reported: Any = ExceptionReporter(rf.get("/"), type(error), error, error.__traceback__)
        for page in (reported.get_traceback_html(), reported.get_traceback_text()):
            assert "with an argument" in page
            assert "PALYRA_VAULT_KEY" in page
            assert HIDDEN not in page
