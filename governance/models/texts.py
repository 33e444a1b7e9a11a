"""What calls asked and were answered, where their team wants it kept."""

from __future__ import annotations

from django.db import models

from governance.models.teams import Team


class CallText(models.Model):
    """The prompt and the answer of one call, in a table of its own: the ledger is kept for ever,
    these are deleted after their team's `text_days`.

    `asked` and `answered` are as `governance.texts.Text` is stored. The id is the call's.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+", db_index=False)
    admitted_at = models.DateTimeField(help_text="When the call was.")
    asked = models.JSONField()
    answered = models.JSONField(null=True)

    class Meta:
        verbose_name = "prompt and answer"
        verbose_name_plural = "prompts and answers"
        # Not among those that whoever may see everything has: reading these is another matter.
        default_permissions = ()
        permissions = [("read_calltext", "Can read kept prompts and answers")]
        indexes = [models.Index(fields=["team", "admitted_at"], name="call_text_by_age")]

    def __str__(self) -> str:
        return str(self.id)
