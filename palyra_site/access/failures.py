"""Failed attempts, which allauth counts in the cache: those of an address, kept past a success."""

from __future__ import annotations

from django.core.cache import cache
from django.http import HttpRequest

APP, ACTION, OF_ADDRESS = "allauth.account", "login_failed", "ip"
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
