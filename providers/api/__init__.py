"""The registry's part of the JSON API."""

from ninja import Router

from providers.api import health, operations

router = Router()
router.add_router("", operations.router)
router.add_router("", health.router)

__all__ = ["router"]
