"""Scheduling's part of the JSON API."""

from scheduling.api.operations import router

__all__ = ["router"]
