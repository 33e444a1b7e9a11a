"""A call whose answer comes in pieces: settled when the stream ends, is cut, or is abandoned."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from governance.budgets import Admission, BudgetEvaluation, tightest
from governance.calls.faults import provider_failed
from governance.calls.keeping import Keeping
from governance.calls.planning import CallPlan
from governance.calls.remembering import remember
from governance.calls.settlement import answered, generated_usage, text_size
from governance.chat_request import ParsedChat
from governance.ledger import Settlement
from governance.models import CallStatus
from providers import chunks
from providers.attempts import StreamBroken
from providers.failures import Failure
from providers.invocation import OpenedStream
from providers.requests import Answer, Chunk
from providers.response_cache import CachedAnswer
from providers.usage import Usage, to_openai

if TYPE_CHECKING:
    from governance.runtime import Runtime

LONGEST_KEPT = 256 * 1024
ABANDONED = "The client went away before the answer was complete; what was generated is charged."
CUT = "The answer broke off; what was generated until then is charged."


class CallStream:
    """Iterate it once: each item is a `chat.completion.chunk` in OpenAI's format.

    A chunk with the usage comes last if the request asked for it. An answer that breaks off raises
    a `CallError`. `aclose` it in any case: what was not read to its end is broken off at the
    provider, and what was generated is settled. `usage` and `cost` (nano-dollars) are known at the
    end. `cached` says that the answer was kept from a call just before, `cacheable` that it may be.
    """

    def __init__(
        self, plan: CallPlan, admission: Admission, model: str, *, attempts: int, cached: bool
    ) -> None:
        self._plan = plan
        self.call_id = plan.call_id
        self.decision = plan.route.decision
        self.provider, _, self.model = model.partition("/")
        self.evaluations: tuple[BudgetEvaluation, ...] = admission.evaluations
        self.attempts = attempts
        self.cached = self.cacheable = cached
        self.usage: Usage | None = None
        self.cost: int | None = None
        self._chunks = self._read()

    @property
    def tightest(self) -> BudgetEvaluation | None:
        """The budget that has the smallest part of its limit left."""
        return tightest(self.evaluations)

    def __aiter__(self) -> CallStream:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """End the call, wherever it is."""
        await self._chunks.aclose()

    def _read(self) -> AsyncGenerator[dict[str, Any]]:
        raise NotImplementedError

    @property
    def _wants_usage(self) -> bool:
        asked = self._plan.asked
        return isinstance(asked, ParsedChat) and asked.include_usage


class KeptStream(CallStream):
    """An answer that was kept from a call just before, in pieces; it used nothing."""

    def __init__(self, plan: CallPlan, admission: Admission, kept: CachedAnswer) -> None:
        super().__init__(plan, admission, kept.model, attempts=0, cached=True)
        self._kept = kept
        self.usage, self.cost = Usage(), 0

    async def _read(self) -> AsyncGenerator[dict[str, Any]]:
        for piece in chunks.from_completion(self._kept.answer.body):
            if not piece.usage_only or self._wants_usage:
                yield piece.body


class LiveStream(CallStream):
    """An answer under way at a provider."""

    def __init__(
        self,
        plan: CallPlan,
        admission: Admission,
        opened: OpenedStream,
        keeping: Keeping,
        runtime: Runtime,
        *,
        remembered: bool = False,
    ) -> None:
        tried = sum(one.outcome != "skipped" for one in opened.attempts())
        name = opened.request.model.qualified_name
        super().__init__(plan, admission, name, attempts=tried, cached=False)
        self._runtime = runtime
        self._opened = opened
        self._keeping = keeping
        self.cacheable = keeping.applies
        self._option = plan.option_of(opened.request)
        self._generated = 0
        # Decided now: of a team that begins to keep texts midway, what came before is not known.
        self._remembered = remembered
        self._assembler = chunks.Assembler() if keeping.applies or remembered else None
        self._settled = False

    async def aclose(self) -> None:
        try:
            await self._chunks.aclose()
            await self._opened.stream.aclose()
        finally:
            # Also where closing it fails, or is not waited for: nobody else would settle it.
            self._settle(status=CallStatus.CANCELLED, error=ABANDONED)

    async def _read(self) -> AsyncGenerator[dict[str, Any]]:
        told_usage = False
        try:
            async for chunk in self._opened.stream:
                self._note(chunk)
                if chunk.usage_only and not self._wants_usage:
                    continue
                told_usage = told_usage or chunk.usage_only
                yield chunk.body
        except StreamBroken as error:
            self._broke(error.failure)
            raise provider_failed(
                self._plan, error.failure, self._opened.request, begun=True
            ) from None
        await self._complete()
        if self._wants_usage and not told_usage:
            yield self._usage_chunk()

    def _note(self, chunk: Chunk) -> None:
        for choice in chunk.body.get("choices") or ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if isinstance(delta, dict):
                self._generated += text_size({**delta, "role": None})
        # Of what is longer the beginning is remembered, and nothing kept for others.
        if self._assembler is not None and self._generated <= LONGEST_KEPT:
            self._assembler.add(chunk)

    async def _complete(self) -> None:
        usage = self._opened.stream.usage
        self._settle(usage=usage)
        if self._assembler is not None and self._generated <= LONGEST_KEPT:
            body = self._assembler.completion()
            await self._keeping.write(Answer(body, usage), self._opened.request)

    def _broke(self, failure: Failure) -> None:
        self._settle(
            status=CallStatus.FAILED,
            failure_class=failure.failure_class,
            error=f"{CUT} {failure.message}",
        )

    def _settle(self, usage: Usage | None = None, **more: Any) -> None:
        """Settle, once; without a reported usage, by what was generated."""
        if self._settled:
            return
        if usage is None:
            usage = generated_usage(self._option, self._generated, self._opened.stream.usage)
        billed = [self._plan.option_of(request) for request in self._opened.billed]
        settlement: Settlement = answered(
            self._plan, self._option, usage, billed, self._opened.attempts(), **more
        )
        self.usage, self.cost = settlement.usage, settlement.cost
        written = self._runtime.settle(settlement, self._plan.limited_providers)
        self._settled = True
        if self._remembered and self._assembler is not None:
            remember(self._plan, self._runtime, written, self._assembler.completion)

    def _usage_chunk(self) -> dict[str, Any]:
        assert self.usage is not None
        return {
            "id": f"chatcmpl-{self.call_id}",
            "object": "chat.completion.chunk",
            "created": int(timezone.now().timestamp()),
            "model": self.model,
            "choices": [],
            "usage": to_openai(self.usage),
        }
