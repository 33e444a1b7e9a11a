"""The registry's part of the JSON API."""

from providers.api.operations import router

__all__ = ["router"]
