"""Failed attempts, which allauth counts in the cache: those of an address, kept past a success, and
those at an account, forgotten with its password."""

from __future__ import annotations

from django.core.cache import cache
from django.http import HttpRequest

APP, ACTION, OF_ADDRESS, OF_ACCOUNT = "allauth.account", "login_failed", "ip", "key"
# By the name in the cache: the moments of failures, and for how many seconds they count.
Kept = dict[str, tuple[list[float], float]]


def attempts_of_address(request: HttpRequest) -> Kept:
    """What is counted now of the address that `request` comes from."""
    from allauth.core.internal import ratelimit  # noqa: PLC0415 - reads settings

    kept: Kept = {}
    for rate in ratelimit.get_rates(app=APP, action=ACTION):
        if rate.per == OF_ADDRESS:
            name = ratelimit.get_cache_key(request, app=APP, action=ACTION, rate=rate)
            kept[name] = (cache.get(name, []), rate.duration)
    return kept


def keep_attempts(before: Kept) -> None:
    """Count those of `before` again, beside what has failed since."""
    from allauth.core.internal import ratelimit  # noqa: PLC0415 - reads settings

    for name, (moments, seconds) in before.items():
        with ratelimit.cache_lock(name):
            # The latest first, as allauth has them.
            all_of_them = sorted({*moments, *cache.get(name, [])}, reverse=True)
            cache.set(name, all_of_them, seconds)


def attempts_key(username: str) -> str:
    """What failed passwords of that account are counted by."""
    return f"password:{username.casefold()}"


def forget_passwords_tried(request: HttpRequest, username: str) -> None:
    """Count no more the wrong passwords of that account; what failed from an address stays."""
    from allauth.core.internal import ratelimit  # noqa: PLC0415 - reads settings

    key = attempts_key(username)
    for rate in ratelimit.get_rates(app=APP, action=ACTION):
        if rate.per == OF_ACCOUNT:
            name = ratelimit.get_cache_key(request, app=APP, action=ACTION, rate=rate, key=key)
            cache.delete(name)
