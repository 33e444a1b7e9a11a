"""Palyra's own upkeep: system jobs that every scheduler process looks after, each one at a time."""

from scheduling.maintenance.lanes import PATIENCE, Maintenance

__all__ = ["PATIENCE", "Maintenance"]
