"""Who changed what: entries that are added and never changed."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models

from providers.identifiers import new_id

EntryT = TypeVar("EntryT", bound=models.Model)


class AppendOnly(Exception):
    """An entry of the audit trail is neither changed nor deleted."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class AuditEntries(models.QuerySet[EntryT]):
    """Entries, to be read and added. The database refuses the rest as well."""

    def update(self, **_: Any) -> int:
        raise AppendOnly

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnly

    delete.queryset_only = True  # type: ignore[attr-defined]


class AuditEntry(models.Model):
    """One change: `changes` has, by field, what it was before and after; secrets are masked.

    `actor` is in words, and stays when the person is gone.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField(db_index=True)
    # No foreign key: nothing may reach back and change an entry.
    user_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=200)
    surface = models.CharField(max_length=32, blank=True)
    address = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=32)
    object_type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=300)
    team_id = models.BigIntegerField(null=True)
    changes = models.JSONField(default=dict)
    reason = models.CharField(max_length=500, blank=True)

    objects: Any = AuditEntries.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name_plural = "audit trail"
        indexes = [
            models.Index(fields=["object_type", "object_id", "-at"], name="audit_by_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.object_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *_: Any, **__: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly
