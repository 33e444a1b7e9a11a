"""Somebody at the playground."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User

from tests.console.playground_streams.sending import Sent, cookies_of
from tests.openai_endpoint.web import Scene, make_scene, running


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    return make_scene()


@pytest.fixture
def person(scene: Scene) -> User:
    """Somebody who may send prompts, and see what they lead to."""
    somebody = User.objects.create_user("sender", is_staff=True)
    somebody.user_permissions.set(
        Permission.objects.filter(
            codename__in=("use_playground", "view_modelcall", "view_budgetpolicy", "view_approval")
        )
    )
    return somebody


@pytest.fixture
async def sent(scene: Scene, person: User) -> AsyncIterator[Sent]:
    cookies = await sync_to_async(cookies_of)(person)
    async with running(scene.key) as web:
        yield Sent(web, person, scene, cookies)
