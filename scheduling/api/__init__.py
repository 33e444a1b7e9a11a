"""Scheduling's part of the JSON API."""

from ninja import Router

from scheduling.api import calendars, jobs, maintenance, runs

router = Router()
router.add_router("", jobs.router, tags=["Schedules"])
router.add_router("", runs.router, tags=["Schedules"])
router.add_router("", calendars.router, tags=["Schedules"])
router.add_router("", maintenance.router, tags=["Maintenance"])

__all__ = ["router"]
