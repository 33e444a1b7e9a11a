from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.openai_endpoint.web import Scene, Web, make_scene, running


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    return make_scene()


@pytest_asyncio.fixture
async def web(scene: Scene) -> AsyncIterator[Web]:
    async with running(scene.key) as started:
        yield started
