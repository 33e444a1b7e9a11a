"""`/account/`: signing in, the second step, and one's own account.

The names are allauth's, which its flows lead by; what is not here is not offered.
"""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as two_step
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from django.contrib.auth.decorators import login_required
from django.urls import URLPattern, path, re_path

from palyra_site.access import devices, forgotten, views
from palyra_site.access.views import page


def _route(route: str, view: Any, name: str) -> URLPattern:
    return path(route, page(view), name=name)


urlpatterns = [
    _route("", views.own_account, "mfa_index"),
    _route("sign-in/", views.SignIn.as_view(), "account_login"),
    _route("sign-in/code/", two_step.authenticate, "mfa_authenticate"),
    _route("sign-in/<slug:provider_id>/", views.to_single_sign_on, "openid_connect_login"),
    _route(
        "sign-in/<slug:provider_id>/back/", views.from_single_sign_on, "openid_connect_callback"
    ),
    _route("cancelled/", views.cancelled, "socialaccount_login_cancelled"),
    _route("sign-out/", views.sign_out, "account_logout"),
    _route("sign-out-elsewhere/", devices.sign_out_elsewhere, "sign_out_elsewhere"),
    _route("sign-out/<int:key>/", devices.sign_out_one, "sign_out_one"),
    _route("switched-off/", account.account_inactive, "account_inactive"),
    _route("confirm/", account.reauthenticate, "account_reauthenticate"),
    _route("confirm/code/", two_step.reauthenticate, "mfa_reauthenticate"),
    _route("forgotten/", forgotten.ask, "account_reset_password"),
    _route("forgotten/sent/", forgotten.sent, "account_reset_password_done"),
    re_path(
        r"^forgotten/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        page(forgotten.new_password),
        name="account_reset_password_from_key",
    ),
    _route("password/", views.change_password, "account_change_password"),
    _route("two-step/", totp.activate_totp, "mfa_activate_totp"),
    _route("two-step/off/", totp.deactivate_totp, "mfa_deactivate_totp"),
    _route("two-step/codes/", recovery_codes.view_recovery_codes, "mfa_view_recovery_codes"),
    _route(
        "two-step/codes/new/",
        login_required(recovery_codes.generate_recovery_codes),
        "mfa_generate_recovery_codes",
    ),
]
