"""Teams whose calls are summed up."""

from __future__ import annotations

import pytest

from governance.models import (
    Team,
)
from tests.support.factories import make_team


@pytest.fixture
def team() -> Team:
    return make_team()
