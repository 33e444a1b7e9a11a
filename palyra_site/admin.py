"""Registers what belongs to no room with the console, and takes away what must not be there."""

from palyra_site.console import identities, people, queue

__all__ = ["identities", "people", "queue"]
