"""What a call comes to in the end, as far as anyone says so: unknown is not zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.utils import timezone

from governance.calls.planning import CallPlan
from governance.chat_request import BYTES_PER_TOKEN
from governance.ledger import Settlement
from governance.models import CallStatus
from governance.pricing import cost as price_of
from governance.routing import Option
from providers.failures import Failure
from providers.invocation import Attempt, Invocation
from providers.models import ModelRole
from providers.plan import ANSWERED, BROKEN_OFF
from providers.requests import Answer
from providers.usage import Usage

NOTHING = Usage(reported=False)
# Attempts that are charged whatever became of their call.
CHARGED = (BROKEN_OFF, ANSWERED)


def settlement_of(plan: CallPlan, invocation: Invocation) -> Settlement:
    """The end of a call that was answered whole, or failed."""
    outcome = invocation.outcome
    billed = [plan.option_of(request) for request in invocation.billed]
    if isinstance(outcome, Failure):
        return _ended(
            plan,
            CallStatus.FAILED,
            charged=[(option, expected_usage(option)) for option in billed],
            attempts=invocation.attempts,
            failure_class=outcome.failure_class,
            error=outcome.message,
        )
    option = plan.option_of(invocation.request)
    return answered(plan, option, answer_usage(option, outcome), billed, invocation.attempts)


def answered(
    plan: CallPlan,
    option: Option,
    usage: Usage,
    billed: Sequence[Option],
    attempts: Sequence[Attempt],
    **more: Any,
) -> Settlement:
    """The end of a call that `option` answered, after failed attempts that are billed as well."""
    charged = [(option, usage), *((one, expected_usage(one)) for one in billed)]
    return _ended(
        plan,
        more.pop("status", CallStatus.SUCCEEDED),
        charged=charged,
        attempts=attempts,
        **more,
    )


def broken_off(plan: CallPlan, record: Sequence[Attempt], *, cancelled: bool) -> Settlement:
    """The end of a call that was not waited for: the attempt under way may be billed, as well as
    those before it that may be, and one whose answer we failed on. One cancelled before all that
    costs nothing and is no request."""
    sent = [one for one in record if one.outcome in CHARGED or one.may_be_billed]
    options = [plan.option_named(one.provider, one.model) for one in sent]
    charged = [(option, expected_usage(option)) for option in options]
    what = "The call was cancelled" if cancelled else "Palyra failed"
    return _ended(
        plan,
        CallStatus.CANCELLED if cancelled else CallStatus.FAILED,
        charged=charged,
        attempts=record,
        requests=1 if sent or not cancelled else 0,
        error=f"{what} while the provider was at work; the expected cost is charged."
        if sent
        else f"{what} before anything was sent; nothing is charged.",
    )


def cached_settlement(plan: CallPlan) -> Settlement:
    """The end of a call that was answered from what was kept: it used nothing and costs nothing."""
    return Settlement(
        call_id=plan.call_id,
        status=CallStatus.SUCCEEDED,
        settled_at=timezone.now(),
        usage=Usage(),
        cost=0,
        compared_cost=None if plan.route.compared is None else 0,
        latency_ms=0,
    )


def expected_usage(option: Option) -> Usage:
    """What is charged where nobody says what was used."""
    expected_input, expected_output = option.expected_tokens
    return Usage(uncached_input=expected_input, output=expected_output, reported=False)


def answer_usage(option: Option, answer: Answer) -> Usage:
    """What an answer used: as reported, or by the size of everything it says."""
    if answer.usage is not None:
        return answer.usage
    return Usage(
        uncached_input=option.expected_input,
        output=_output_tokens(option, answer.body),
        reported=False,
    )


def generated_usage(option: Option, size: int, reported: Usage | None) -> Usage:
    """What a stream used that broke off after `size` bytes, by what it reported until then."""
    output = -(-size // BYTES_PER_TOKEN)
    if reported is None:
        return Usage(uncached_input=option.expected_input, output=output, reported=False)
    return Usage(
        uncached_input=reported.uncached_input,
        cache_read=reported.cache_read,
        cache_write_5m=reported.cache_write_5m,
        cache_write_1h=reported.cache_write_1h,
        output=max(output, reported.output),
        reported=False,
    )


def total(usages: Sequence[Usage]) -> Usage:
    """Several usages together; reported only if there is one, and it was."""
    if not usages:
        return NOTHING
    if len(usages) == 1:
        return usages[0]
    return Usage(
        uncached_input=sum(one.uncached_input for one in usages),
        cache_read=sum(one.cache_read for one in usages),
        cache_write_5m=sum(one.cache_write_5m for one in usages),
        cache_write_1h=sum(one.cache_write_1h for one in usages),
        output=sum(one.output for one in usages),
        reported=False,
    )


def text_size(value: Any) -> int:
    """The UTF-8 bytes of all text in a JSON value; the names of fields do not count."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    if isinstance(value, Mapping):
        return sum(text_size(one) for one in value.values())
    if isinstance(value, list):
        return sum(text_size(one) for one in value)
    return 0


def _output_tokens(option: Option, body: Any) -> int:
    """Everything generated counts: every choice, tool calls and reasoning as much as text."""
    role = option.asked.role
    if role == ModelRole.EMBEDDINGS:
        return 0
    if role == ModelRole.CHAT:
        size = len(orjson.dumps([choice["message"] for choice in body["choices"]]))
    else:
        size = text_size(body)
    return max(1, -(-size // BYTES_PER_TOKEN))


def _cost(charged: Sequence[tuple[Option, Usage]]) -> int | None:
    """The nano-dollars of it all, each at the price it was held at; None if one has no price."""
    if any(option.price is None for option, _ in charged):
        return None
    return sum(price_of(option.price, usage) for option, usage in charged if option.price)


def _compared_cost(plan: CallPlan, charged: Sequence[tuple[Option, Usage]]) -> int | None:
    """What the same usage would have cost with the other choice; None if nothing is compared, or
    it has no price. What was never used costs nothing there either.

    Request by request, as it is charged: together they may pass a tier that none of them does.
    """
    other = plan.route.compared
    if other is None or other.price is None:
        return None
    return sum(price_of(other.price, usage) for _, usage in charged if usage.total)


def _ended(
    plan: CallPlan,
    status: CallStatus,
    *,
    charged: Sequence[tuple[Option, Usage]],
    attempts: Sequence[Attempt],
    requests: int = 1,
    failure_class: str = "",
    error: str = "",
) -> Settlement:
    first_token = next((one.first_token_ms for one in reversed(attempts)), None)
    return Settlement(
        call_id=plan.call_id,
        status=status,
        settled_at=timezone.now(),
        usage=total([used for _, used in charged]),
        cost=_cost(charged),
        compared_cost=_compared_cost(plan, charged),
        requests=requests,
        failure_class=failure_class,
        error=error,
        latency_ms=sum(attempt.latency_ms for attempt in attempts),
        first_token_ms=first_token,
        attempts=[attempt.as_json() for attempt in attempts],
    )
