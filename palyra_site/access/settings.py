"""What Django and allauth are told of signing in, sessions and addresses, from the configuration.

Read while the settings are, so nothing here touches a model.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse_lazy

from palyra_site.access.cache import TABLE
from palyra_site.configuration import Configuration

APPS = (
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "palyra_site.access.apps.SessionsConfig",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
)
# The name in the address that the identity provider sends people back to.
PROVIDER = "sso"
YEAR = 365 * 24 * 3600
HOUR = 3600
# Failed sign-ins: of each account, and of each address, in a quarter of an hour.
OF_AN_ACCOUNT, OF_AN_ADDRESS, WITHIN = 8, 40, 15 * 60
# Links for a forgotten password: to each e-mail address, and from each place, in an hour.
LINKS_TO_AN_ADDRESS, LINKS_FROM_AN_ADDRESS = 5, 20


def access_settings(given: Configuration) -> dict[str, Any]:
    """Settings by name."""
    return {
        **_sessions(given),
        **_sign_in(given),
        **_single_sign_on(given),
        "CACHES": {"default": _cache()},
    }


def _cache() -> dict[str, Any]:
    """Where failed sign-ins are counted: all processes count together.

    In the database, beside Redis too: nobody signs in without the database, and while Redis is away
    administrators must be able to.
    """
    return {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": TABLE,
        # Django would forget a third at 300, and so could be made to forget.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }


def _sessions(given: Configuration) -> dict[str, Any]:
    https = given.public_url.startswith("https://")
    return {
        "SESSION_COOKIE_AGE": given.session_hours * HOUR,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": https,
        "CSRF_COOKIE_SECURE": https,
        "CSRF_COOKIE_SAMESITE": "Lax",
    }


def _sign_in(given: Configuration) -> dict[str, Any]:
    failed = f"{OF_AN_ADDRESS}/{WITHIN}s/ip,{OF_AN_ACCOUNT}/{WITHIN}s/key"
    return {
        "AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"],
        "LOGIN_URL": reverse_lazy("account_login"),
        "LOGIN_REDIRECT_URL": reverse_lazy("admin:index"),
        "LOGOUT_REDIRECT_URL": reverse_lazy("account_login"),
        "CSRF_FAILURE_VIEW": "palyra_site.access.views.csrf_failure",
        "ACCOUNT_ADAPTER": "palyra_site.access.adapters.Accounts",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_EMAIL_NOTIFICATIONS": False,
        "ACCOUNT_EMAIL_SUBJECT_PREFIX": "[Palyra] ",
        "ACCOUNT_SESSION_REMEMBER": True,
        "ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE": False,
        "ACCOUNT_REAUTHENTICATION_METHODS": ("password", "mfa"),
        "ACCOUNT_DEFAULT_HTTP_PROTOCOL": given.public_url.partition(":")[0],
        "ACCOUNT_RATE_LIMITS": {
            "login_failed": failed,
            # Asked for before any password is looked at, so that looking is not made to work hard.
            "login": "60/m/ip",
            # Of links by e-mail. The place first: what it is refused leaves no row for any address.
            "reset_password": f"{LINKS_FROM_AN_ADDRESS}/h/ip,{LINKS_TO_AN_ADDRESS}/h/key",
            "reset_password_from_key": "20/m/ip",
        },
        "ACCOUNT_FORMS": {
            "login": "palyra_site.access.forms.SignInForm",
            "reset_password": "palyra_site.access.forms.ForgottenForm",
            "reset_password_from_key": "palyra_site.access.forms.NewPasswordForm",
        },
        "PASSWORD_RESET_TIMEOUT": HOUR,
        # Nothing is sent to an address that nobody has.
        "ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS": False,
        "MFA_ADAPTER": "palyra_site.access.adapters.TwoStep",
        "MFA_FORMS": {
            "authenticate": "palyra_site.access.forms.CodeForm",
            "reauthenticate": "palyra_site.access.forms.ConfirmByCodeForm",
            "activate_totp": "palyra_site.access.forms.ActivateForm",
        },
        "MFA_SUPPORTED_TYPES": ["totp", "recovery_codes"],
        "MFA_TOTP_ISSUER": "Palyra",
        # Telephones' clocks differ a little.
        "MFA_TOTP_TOLERANCE": 1,
        "MFA_ALLOW_UNVERIFIED_EMAIL": True,
        "MFA_RECOVERY_CODES_SHOW_ONCE": True,
    }


def _single_sign_on(given: Configuration) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "SOCIALACCOUNT_ADAPTER": "palyra_site.access.adapters.SingleSignOn",
        "SOCIALACCOUNT_EMAIL_VERIFICATION": "none",
        "SOCIALACCOUNT_STORE_TOKENS": False,
        "SOCIALACCOUNT_PROVIDERS": {},
    }
    if given.oidc is not None:
        app = {
            "provider_id": PROVIDER,
            "name": given.oidc.name,
            "client_id": given.oidc.client_id,
            "secret": given.oidc.client_secret,
            "settings": {"server_url": given.oidc.issuer, "oauth_pkce_enabled": True},
        }
        settings["SOCIALACCOUNT_PROVIDERS"] = {"openid_connect": {"APPS": [app]}}
    return settings
