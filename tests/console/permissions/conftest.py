"""People who may do everything, nothing, or only look."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff


@pytest.fixture
def root(seeded: Seeded) -> Client:
    return signed_in(seeded.administrator)


@pytest.fixture
def nobody(seeded: Seeded) -> Client:
    """Let into the console, with no permission."""
    return signed_in(staff("nobody"))


@pytest.fixture
def viewer(seeded: Seeded) -> Client:
    """May look at everything and change nothing."""
    return signed_in(seeded.viewer)
