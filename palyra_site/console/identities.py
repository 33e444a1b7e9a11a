"""Takes allauth's own pages out of the console: they would show, and let change, how people prove
who they are. What an administrator may do about it is on the person's page."""

from __future__ import annotations

from allauth.account import admin as account_admin
from allauth.mfa import admin as two_step_admin
from allauth.socialaccount import admin as single_sign_on_admin
from allauth.usersessions import admin as sessions_admin
from django.contrib import admin

__all__ = ["account_admin", "sessions_admin", "single_sign_on_admin", "two_step_admin"]

for model in [one for one in admin.site._registry if one.__module__.startswith("allauth.")]:
    admin.site.unregister(model)
