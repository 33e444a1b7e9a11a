"""Providers that answer as they are told."""

from __future__ import annotations

import pytest

from tests.providers.fakes import Scene


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Scripted providers."""
    return Scene(monkeypatch)
