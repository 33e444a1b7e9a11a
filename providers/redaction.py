"""What hosts say of a failure, fit to be shown: hosts like to repeat the key they were sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from html import unescape
from typing import NamedTuple

from providers.failures import Failure
from providers.registry import CredentialEntry
from providers.vault import MASK

MESSAGE_LENGTH = 350
# Of a longer message no more is looked at: it is cut far before.
MOST_READ = 8192
# So many characters in a row that are in the key as well are a part of it.
SHORTEST_PART = 8
# Hosts tell of keys that are not ours as well: a gateway of the one it goes on with.
_LOGIN = re.compile(r"(?<=://)[^\s/?#]+@")
_SIGN_OF_ONE = r"[\w.~+/=-]"
_BEARER = re.compile(
    rf"(?i)(\bbearer\s+)(?={_SIGN_OF_ONE}{{8}})(?:{_SIGN_OF_ONE}*\d{_SIGN_OF_ONE}*|{_SIGN_OF_ONE}{{20,}})"
)
# A sign that is not written as itself: in an address, in a page, in JSON.
_WRITTEN = re.compile(r"(?i)%[0-9a-f]{2}|&#?\w{1,32};|\\u[0-9a-f]{4}|\\[\"\\/]")


class Sign(NamedTuple):
    """A character, and from where to where a message has it."""

    text: str
    begin: int
    end: int


def presentable(failure: Failure, credential: CredentialEntry | None) -> Failure:
    """The failure, its message in one line, not too long, without the key or a part of it.

    Redacted first: a message cut in the middle of a key would show the half of it.
    """
    message, secret = failure.message[:MOST_READ], credential.secret if credential else None
    if secret is not None:
        message = without_key(message, secret.text)
    message = _BEARER.sub(rf"\1{MASK}", _LOGIN.sub(f"{MASK}@", message))
    # Neither a log nor every database takes each character that a host may send.
    message = "".join(one if one.isprintable() else " " for one in message)
    if len(message) > MESSAGE_LENGTH:
        message = message[: MESSAGE_LENGTH - 1] + "…"
    return replace(failure, message=message)


def without_key(message: str, key: str) -> str:
    """`message` with a mask for the key and for every part of it, also where lines were wrapped, or
    its signs are written as in an address, in JSON or in a page."""
    key = "".join(key.split())
    if not key:
        return message
    size = min(SHORTEST_PART, len(key))
    parts = {key[begin : begin + size] for begin in range(len(key) - size + 1)}
    as_it_is = [Sign(one, place, place + 1) for place, one in enumerate(message)]
    read = as_it_is if size < SHORTEST_PART else _signs(message)
    hidden = sorted({*_found(as_it_is, parts, size), *_found(read, parts, size)})
    return _masked(message, hidden)


def _signs(message: str) -> list[Sign]:
    """The signs that `message` tells of, each with where it is written."""
    signs, place = [], 0
    while place < len(message):
        written = _WRITTEN.match(message, place)
        end = written.end() if written else place + 1
        signs.append(Sign(_meant(message[place:end]), place, end))
        place = end
    return signs


def _meant(written: str) -> str:
    """The sign that is written so; what means none, or several, is left as it is."""
    match written[0], written[1:2].lower():
        case "%", digit if digit:
            return chr(int(written[1:], 16))
        case "\\", "u":
            return chr(int(written[2:], 16))
        case "\\", escaped if escaped:
            return escaped
        case "&", _:
            meant = unescape(written)
            return meant if len(meant) == 1 else written
    return written


def _found(signs: Sequence[Sign], parts: Collection[str], size: int) -> Iterator[tuple[int, int]]:
    """From where to where each of `parts`, which are of that size, is written; blanks and what
    cannot be seen are not counted."""
    seen = [one for one in signs if one.text.isprintable() and not one.text.isspace()]
    for begin in range(len(seen) - size + 1):
        if "".join(one.text for one in seen[begin : begin + size]) in parts:
            yield seen[begin].begin, seen[begin + size - 1].end


def _masked(message: str, hidden: Sequence[tuple[int, int]]) -> str:
    """`message` with one mask for those of the places `hidden`, in order, that overlap."""
    masked, shown = [], 0
    for begin, end in hidden:
        if begin >= shown:
            masked += [message[shown:begin], MASK]
        shown = max(shown, end)
    return "".join((*masked, message[shown:]))
