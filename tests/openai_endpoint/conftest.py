from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.openai_endpoint.web import (
    DirectWeb,
    Scene,
    ServedWeb,
    make_other_roles,
    make_scene,
    running,
    serving,
)


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    return make_scene()


@pytest_asyncio.fixture
async def web(scene: Scene) -> AsyncIterator[DirectWeb]:
    async with running(scene.key) as started:
        yield started


@pytest.fixture
def every_role(scene: Scene) -> Scene:
    make_other_roles(scene)
    return scene


@pytest_asyncio.fixture
async def served(every_role: Scene) -> AsyncIterator[ServedWeb]:
    async with serving(every_role.key) as started:
        yield started
