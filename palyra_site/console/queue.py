"""Takes django-q2's own pages out of the console.

Whoever may edit its `Schedule.func` may run any code, and nothing there is of use to anyone: runs
and processes are shown on Palyra's own pages.
"""

from __future__ import annotations

from django.contrib import admin
from django_q import admin as queue_admin  # registers them, so that they can be taken away
from django_q.models import Failure, OrmQ, Schedule, Success

__all__ = ["queue_admin"]

for model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
