"""Answers kept for a moment, as far as one call is concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.calls.planning import CallPlan
from providers.requests import Answer, ChatRequest, ModelRequest
from providers.response_cache import CachedAnswer, CacheUse, cache_key

if TYPE_CHECKING:
    from governance.runtime import Runtime


class Keeping:
    """Reads and writes the answer to one call's question, where it may be kept at all."""

    def __init__(self, plan: CallPlan, runtime: Runtime) -> None:
        self._plan = plan
        self._runtime = runtime
        chosen = plan.route.chosen
        self._seconds = chosen.model.provider.cache_seconds
        self._key = (
            cache_key(
                chosen.request(),
                team_id=plan.request.caller.team_id,
                use=plan.request.cache,
            )
            if self._seconds and plan.request.cache is not CacheUse.OFF
            else None
        )

    @property
    def applies(self) -> bool:
        """Whether this question's answer may be kept."""
        return self._key is not None

    async def read(self) -> CachedAnswer | None:
        """The answer that is kept, unless the caller wants a new one."""
        if self._key is None or self._plan.request.cache is CacheUse.REFRESH:
            return None
        return await self._runtime.providers.cache.get(self._key)

    async def write(self, answer: Answer, request: ModelRequest) -> None:
        """Keep an answer. One that a fallback gave is not: the chosen model may be back at once.
        Neither is one that was made shorter than asked for, because budgets paid for no more."""
        chosen = self._plan.route.chosen
        if self._key is None or request.model.id != chosen.model.id:
            return
        if isinstance(request, ChatRequest) and request.output_cap != chosen.output_cap:
            return
        kept = CachedAnswer(answer, request.model.qualified_name)
        await self._runtime.providers.cache.put(self._key, kept, seconds=self._seconds)
