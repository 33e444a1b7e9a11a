"""Whose key a request carries: answered from the snapshot, without a query."""

from __future__ import annotations

import asyncio
from datetime import datetime

from governance import keys
from governance.errors import LedgerUnavailable
from governance.keys import ParsedKey
from governance.runtime import Runtime
from governance.snapshot import KeyEntry
from palyra_site.openai_endpoint.answers import EndpointError, refusal

SCHEME = b"bearer "
CHALLENGE = ((b"www-authenticate", b'Bearer realm="palyra"'),)


async def authenticate(header: bytes | None, runtime: Runtime, now: datetime) -> KeyEntry:
    """The key's entry. Raises `EndpointError` with 401 if it may not be used, saying why."""
    if header is None or not header.lower().startswith(SCHEME):
        raise _unauthorized(
            "Send your Palyra key in the header “Authorization: Bearer ply_…”.", "missing_api_key"
        )
    parsed = keys.parse(header[len(SCHEME) :].strip().decode("latin-1"))
    entry = await _find(parsed, runtime) if parsed else None
    if parsed is None or entry is None or not keys.matches(parsed.secret, entry.secret_hash):
        raise _unauthorized("This is not a key of this Palyra.", "invalid_api_key")
    if entry.revoked:
        raise _unauthorized("This key was revoked; ask your team for another.", "invalid_api_key")
    if entry.expires_at is not None and entry.expires_at <= now:
        raise _unauthorized("This key has expired; ask your team for another.", "invalid_api_key")
    if not entry.team_enabled:
        raise _unauthorized("This key's team is disabled.", "invalid_api_key")
    return entry


async def _find(parsed: ParsedKey, runtime: Runtime) -> KeyEntry | None:
    entry = runtime.snapshot.keys.get(parsed.public_id)
    if entry is None:
        # Another process may have made it a moment ago; the keeper bounds how often it looks.
        looked = await asyncio.to_thread(runtime.keeper.refresh)
        entry = runtime.snapshot.keys.get(parsed.public_id)
        if entry is None and not looked:
            raise LedgerUnavailable("Keys cannot be checked at the moment. Try again shortly.")
    return entry


def _unauthorized(message: str, code: str) -> EndpointError:
    return EndpointError(
        refusal(401, message, code=code, kind="authentication_error", headers=CHALLENGE)
    )
