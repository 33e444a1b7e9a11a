"""API keys: made once, shown once, stored as a keyed hash.

A key reads `ply_<public id>_<secret>`. The public id finds it, the secret (256 random bits) proves
it; stored is an HMAC-SHA256 of the secret under Django's secret key, so that neither reading nor
writing the database is enough to use or to plant one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from governance.models import ApiKey, BudgetPolicy, BudgetScope, Team

PREFIX = "ply"
PUBLIC_ID_BYTES = 8
SECRET_BYTES = 32
LONGEST_NAME = 100
# What the old text's own key is called, behind the name of the key it was of.
REPLACED = " (replaced)"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `text` is shown once and kept nowhere."""

    record: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.record.shown})"


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The two halves of a key's text."""

    public_id: str
    secret: str

    def __repr__(self) -> str:
        return f"ParsedKey({self.public_id})"


def create(
    *,
    team: Team,
    name: str,
    created_by: Any = None,
    expires_at: datetime | None = None,
    routing_mode: str = "",
) -> NewKey:
    """Make a key for `team`. Raises `ValidationError` with every fault, and stores nothing then."""
    secret = secrets.token_hex(SECRET_BYTES)
    record = ApiKey(
        team=team,
        name=name.strip(),
        public_id=secrets.token_hex(PUBLIC_ID_BYTES),
        secret_hash=secret_hash(secret),
        last_four=secret[-4:],
        created_by=created_by,
        expires_at=expires_at,
        routing_mode=routing_mode,
    )
    faults: dict[str, Any] = {}
    try:
        record.full_clean()
    except ValidationError as error:
        faults = error.update_error_dict(faults)
    if expires_at is not None and expires_at <= timezone.now():
        faults["expires_at"] = "The key would expire before it could be used."
    if faults:
        raise ValidationError(faults)
    record.save()
    return NewKey(record, f"{PREFIX}_{record.public_id}_{secret}")


def revoke(key: ApiKey, *, now: datetime | None = None) -> bool:
    """Refuse `key` from now on, in every process within a second; False if it already was."""
    changed = ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(
        revoked_at=now or timezone.now()
    )
    return bool(changed)


def rotate(key: ApiKey, *, grace: timedelta, now: datetime) -> NewKey:
    """Give `key` another text. What names the key, budgets and calls, goes on as it is.

    The text it had is refused from now on or, with a `grace`, works that much longer as a key of
    its own. Raises `ValidationError` in words if the key no longer works, or if it has a budget,
    which the two texts would then have each for itself.
    """
    with transaction.atomic():
        row = ApiKey.objects.select_for_update(no_key=True).select_related("team").get(pk=key.pk)
        fault = _rotation_fault(row, grace, now)
        if fault:
            raise ValidationError(fault)
        before = (row.public_id, row.secret_hash, row.last_four)
        secret = secrets.token_hex(SECRET_BYTES)
        row.public_id = secrets.token_hex(PUBLIC_ID_BYTES)
        row.secret_hash, row.last_four = secret_hash(secret), secret[-4:]
        row.save(update_fields=["public_id", "secret_hash", "last_four"])
        if grace:
            _keep_old_text(row, before, now + grace)
    return NewKey(row, f"{PREFIX}_{row.public_id}_{secret}")


def _rotation_fault(row: ApiKey, grace: timedelta, now: datetime) -> str:
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return "This key no longer works; create another."
    if grace and _has_budget(row):
        return (
            "A budget counts this key's calls, and the old text would have another for itself. "
            "Rotate it with the old text refused at once."
        )
    return ""


def _has_budget(row: ApiKey) -> bool:
    of_keys = BudgetPolicy.objects.filter(
        Q(team=None) | Q(team=row.team_id), scope=BudgetScope.API_KEY, value__in=["", str(row.pk)]
    )
    return bool(of_keys.exists())


def _keep_old_text(row: ApiKey, before: tuple[str, str, str], until: datetime) -> None:
    public_id, stored_hash, last_four = before
    lasts = until if row.expires_at is None else min(until, row.expires_at)
    ApiKey.objects.create(
        team=row.team,
        name=f"{row.name[: LONGEST_NAME - len(REPLACED)]}{REPLACED}",
        public_id=public_id,
        secret_hash=stored_hash,
        last_four=last_four,
        created_by=row.created_by,
        routing_mode=row.routing_mode,
        expires_at=lasts,
    )


def parse(text: str) -> ParsedKey | None:
    """The halves of a key's text, or None if it is not one."""
    prefix, _, rest = text.partition("_")
    public_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not public_id or not secret:
        return None
    return ParsedKey(public_id, secret)


def secret_hash(secret: str) -> str:
    """What is stored of a secret: hexadecimal, 64 characters."""
    return salted_hmac("palyra.api_key", secret, algorithm="sha256").hexdigest()


def matches(secret: str, stored_hash: str) -> bool:
    """Whether `secret` is the one behind `stored_hash`, in constant time."""
    return constant_time_compare(secret_hash(secret), stored_hash)
