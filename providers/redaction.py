"""What hosts say of a failure, fit to be shown: hosts like to repeat the key they were sent."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from urllib.parse import quote

from providers.failures import Failure
from providers.registry import CredentialEntry
from providers.vault import MASK

MESSAGE_LENGTH = 350
# Of a longer message no more is looked at: it is cut far before.
MOST_READ = 8192
# So many characters in a row that are in the key as well are a part of it.
SHORTEST_PART = 8
# Hosts tell of keys that are not ours as well: a gateway of the one it goes on with.
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")
_BEARER = re.compile(r"(?i)(?<=\bbearer )(?=[^\s\d]*\d)\S{8,}")


def presentable(failure: Failure, credential: CredentialEntry | None) -> Failure:
    """The failure, its message in one line, not too long, without the key or a part of it.

    Redacted first: a message cut in the middle of a key would show the half of it.
    """
    message, secret = failure.message[:MOST_READ], credential.secret if credential else None
    if secret is not None:
        message = without_key(message, secret.text)
    message = _BEARER.sub(MASK, _LOGIN.sub(f"{MASK}@", message))
    # Neither a log nor every database takes each character that a host may send.
    message = "".join(one if one.isprintable() else " " for one in message)
    if len(message) > MESSAGE_LENGTH:
        message = message[: MESSAGE_LENGTH - 1] + "…"
    return replace(failure, message=message)


def without_key(message: str, key: str) -> str:
    """`message` with a mask for the key and for every part of it, also where lines were wrapped, or
    it is spelt as in an address, in JSON or in a page."""
    key = "".join(key.split())
    if not key:
        return message
    size = min(SHORTEST_PART, len(key))
    parts = {
        spelt[begin : begin + size]
        for spelt in (_spellings(key) if size == SHORTEST_PART else {key})
        for begin in range(len(spelt) - size + 1)
    }
    return _masked(message, parts, size)


def _spellings(key: str) -> set[str]:
    quoted = quote(key, safe="")
    lowered = re.sub("%..", lambda one: one[0].lower(), quoted)
    in_json = key.replace("\\", r"\\").replace('"', r"\"")
    in_address = {quoted, lowered, quote(key)}
    return {key, *in_address, in_json, in_json.replace("/", r"\/"), escape(key)}


def _masked(message: str, parts: set[str], size: int) -> str:
    """`message` with a mask for each of `parts`, which are of that size, blanks not counted."""
    places = [place for place, one in enumerate(message) if one.isprintable() and not one.isspace()]
    seen = "".join(message[place] for place in places)
    masked, shown, until = [], 0, -1
    for begin in range(len(seen) - size + 1):
        if seen[begin : begin + size] not in parts:
            continue
        first, last = places[begin], places[begin + size - 1]
        if first > until:
            masked += [message[shown:first], MASK]
        until, shown = last, last + 1
    return "".join((*masked, message[shown:]))
