"""Whether somebody an identity provider vouches for has an account here, or may have one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# The one thing that an identity provider is asked for: allauth could also tie identities together.
SIGNING_IN = "login"


class Outcome(StrEnum):
    """What is to be done about somebody who was never here with this identity."""

    KNOWN = "known"
    NEW = "new"
    NO_ADDRESS = "no address"
    NOT_VERIFIED = "address not verified"
    SEVERAL = "several accounts have the address"
    UNKNOWN = "no account"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the identity provider says of somebody, and the accounts with that address."""

    address: str
    verified: bool
    holders: tuple[int, ...]
    domains: tuple[str, ...]


def judge(claim: Claim) -> Outcome:
    """An unverified address proves nothing, and one that several accounts have says not whose."""
    if not claim.address:
        return Outcome.NO_ADDRESS
    if not claim.verified:
        return Outcome.NOT_VERIFIED
    if len(claim.holders) > 1:
        return Outcome.SEVERAL
    if claim.holders:
        return Outcome.KNOWN
    domain = claim.address.rpartition("@")[2].lower()
    return Outcome.NEW if domain in claim.domains else Outcome.UNKNOWN
