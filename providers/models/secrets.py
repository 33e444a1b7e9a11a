"""Secrets: encrypted in the vault, or a reference to where the secret itself is kept."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q

from providers import vault
from providers.references import validate_reference
from providers.versioned import Versioned, bump


class Secret(Versioned):
    """A credential that is never shown again: its text encrypted with the vault's key, or where it
    is found outside Palyra (`env:NAME`, `file:/path`), read anew with each snapshot.
    """

    name = models.SlugField(unique=True, help_text="How providers refer to it, as vault:name.")
    ciphertext = models.TextField(blank=True, editable=False)
    reference = models.CharField(
        max_length=300,
        blank=True,
        validators=[validate_reference],
        help_text="Instead of a stored text: env:NAME or file:/path, read where Palyra runs.",
    )
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="secret_stored_or_referred_to",
                condition=(Q(reference="") & ~Q(ciphertext=""))
                | (~Q(reference="") & Q(ciphertext="")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not self.reference and not self.ciphertext:
            raise ValidationError("Give the secret's text, or a reference to where it is kept.")

    @property
    def label(self) -> str:
        """How API, forms and files name it: vault:name, or where it is kept."""
        return self.reference or f"vault:{self.name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it under the vault's first key of this moment.

        The keys may have been rotated since the text was encrypted. Whoever rotates them takes the
        version's lock as well: either they see this row, or their keys are seen here.
        """
        with transaction.atomic():
            bump()
            if self.ciphertext:
                self.ciphertext = vault.under_first_key(self.ciphertext)
            super().save(*args, **kwargs)

    def set_text(self, text: str) -> None:
        """Encrypt `text` into this row; the caller saves it.

        Raises `ValidationError` if the vault has no key.
        """
        try:
            make_vault_key()
            self.ciphertext = vault.encrypt(text)
        except vault.VaultKeyError as error:
            raise ValidationError(str(error), code="vault_key") from None
        self.reference = ""
        self.last_four = text[-4:] if len(text) >= 16 else ""  # noqa: PLR2004 - four of few is much

    def set_reference(self, reference: str) -> None:
        """Refer to a secret kept elsewhere; the caller validates and saves."""
        self.ciphertext, self.last_four = "", ""
        self.reference = reference


def make_vault_key() -> None:
    """Make the vault's key if there is none and nothing was ever encrypted.

    Raises `VaultKeyError` if it is missing while secrets are stored: another key would not read
    them, and in its place nobody would look for the right one.
    """
    if vault.has_key():
        return
    stored = Secret.objects.exclude(ciphertext="").count()
    if stored:
        raise vault.VaultKeyError(
            f"The vault's key file {vault.own_file()} is missing, and {stored} stored "
            f"{'secret is' if stored == 1 else 'secrets are'} encrypted with what it held."
        )
    vault.make_key()
