"""Scheduling's part of the JSON API."""

from ninja import Router

from scheduling.api import maintenance, operations

router = Router()
router.add_router("", operations.router, tags=["Schedules"])
router.add_router("", maintenance.router, tags=["Maintenance"])

__all__ = ["router"]
