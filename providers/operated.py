"""Tells of what operators do that no saved row says by itself."""

from __future__ import annotations

from django.dispatch import Signal

# Sent in the transaction of the deed with `row` (what it was done to), `action` (in words) and
# `changes` (by name, what it was and what it is).
operated = Signal()
