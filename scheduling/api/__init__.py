"""Scheduling's part of the JSON API."""

from ninja import Router

from scheduling.api import calendars, jobs, runs

router = Router()
router.add_router("", jobs.router)
router.add_router("", runs.router)
router.add_router("", calendars.router)

__all__ = ["router"]
