"""The forms of signing in: allauth's, without its hints inside the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palyra_site.access.addresses import holders_of
from palyra_site.access.failures import attempts_of_address, keep_attempts

if TYPE_CHECKING:
    LoginForm: Any = object
    AuthenticateForm: Any = object
    ReauthenticateForm: Any = object
    ActivateTOTPForm: Any = object
    ResetPasswordForm: Any = object
    ResetPasswordKeyForm: Any = object
else:
    from allauth.account.forms import LoginForm, ResetPasswordForm, ResetPasswordKeyForm
    from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
    from allauth.mfa.totp.forms import ActivateTOTPForm


class _Plain:
    """Labels above the fields say what belongs there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():  # type: ignore[attr-defined]
            field.widget.attrs.pop("placeholder", None)
            field.help_text = ""


class SignInForm(_Plain, LoginForm):  # type: ignore[misc]
    """Username and password."""


class ForgottenForm(_Plain, ResetPasswordForm):  # type: ignore[misc]
    """The address of who forgot their password."""

    def clean_email(self) -> str:
        """A link goes to each account with that address, however it is written, that has a password
        here: single sign-on is not got round this way."""
        address: str = self.cleaned_data["email"]
        self.users = [
            user for user in holders_of(address) if user.is_active and user.has_usable_password()
        ]
        return address


class NewPasswordForm(_Plain, ResetPasswordKeyForm):  # type: ignore[misc]
    """The new password."""


class _Code(_Plain):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code = self.fields["code"]  # type: ignore[attr-defined]
        code.label = "Code"
        code.widget.attrs |= {"inputmode": "numeric", "autofocus": True}

    def clean_code(self) -> str:
        """As allauth does; told to wait, people are told for how long.

        allauth forgets failures at a right code, those of the whole address too: these count on, or
        whoever guesses could sign in as themselves now and then, to begin anew.
        """
        from allauth.core import context  # noqa: PLC0415

        user = self.user  # type: ignore[attr-defined]
        context.request._palyra_waits_for = f"mfa-auth-user-{user.pk}"
        before = attempts_of_address(context.request)
        code: str = super().clean_code()  # type: ignore[misc]
        keep_attempts(before)
        return code


class CodeForm(_Code, AuthenticateForm):  # type: ignore[misc]
    """The second step of signing in."""


class ConfirmByCodeForm(_Code, ReauthenticateForm):  # type: ignore[misc]
    """That it is still them, by a code."""


class ActivateForm(_Code, ActivateTOTPForm):  # type: ignore[misc]
    """The first code, which proves that the app is set up."""
