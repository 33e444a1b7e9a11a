"""Every kind of provider, asked everything, failing in every way: what each of it comes to.

The tables below say it all. A row holds for every kind of host and every operation that it names
(`all`, `chats`, `whole` for all but streams, or one); for each cell exactly one row holds. `3 ×`
means that there are three such attempts. Charged is what the provider reported (`reported`), what
was expected of each attempt (`expected`), what is estimated of an answer that came without usage
(`estimated`), what had been generated when a stream broke off (`generated`), or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ValidationError

from providers.failures import FailureClass
from providers.models import ModelRole, ProviderKind
from tests.matrix.cells import (
    INPUT_NANO_DOLLARS,
    OPERATIONS,
    OUTPUT_NANO_DOLLARS,
    REMOTE,
    Cell,
    Happened,
    Setting,
    ask_all,
    held,
    make_cell,
    make_key,
)
from tests.matrix.operations import CHATS, Operation, assert_sound
from tests.support import faults
from tests.support.factories import make_model, make_provider
from tests.support.faults import Behaviour, Fault
from tests.support.unreachable import NO_SUCH_HOST, refusing, tls_to_plain
from tests.support.upstream import Upstream

pytestmark = pytest.mark.processes

# What providers that are hosts do. `-` is none.
MATRIX = """
fault                        | asked  | class                   | action            | attempts   | answer                       | ledger    | charged
success                      | all    | -                       | -                 | answered   | 200                          | succeeded | reported
slow pieces                  | all    | -                       | -                 | answered   | 200                          | succeeded | reported
more output than allowed     | chats  | -                       | -                 | answered   | 200                          | succeeded | reported
no usage                     | all    | -                       | -                 | answered   | 200                          | succeeded | estimated
400                          | all    | permanent_upstream      | user_action       | failed     | 400 provider_refused         | failed    | nothing
401                          | all    | auth_invalid            | rotate_credential | failed     | 502 provider_failed          | failed    | nothing
403                          | all    | permission_denied       | provider_failover | failed     | 502 provider_failed          | failed    | nothing
404                          | all    | permanent_upstream      | provider_failover | failed     | 502 provider_failed          | failed    | nothing
408                          | all    | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
409                          | all    | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
413                          | all    | permanent_upstream      | user_action       | failed     | 413 provider_refused         | failed    | nothing
422                          | all    | permanent_upstream      | user_action       | failed     | 422 provider_refused         | failed    | nothing
context window exceeded      | all    | context_window_exceeded | user_action       | failed     | 400 context_length_exceeded  | failed    | nothing
content policy               | all    | content_policy_blocked  | fail_closed       | failed     | 400 content_policy_violation | failed    | nothing
429                          | all    | rate_limited            | retry_after       | 3 × failed | 429 provider_rate_limited    | failed    | nothing
429, a short retry-after     | all    | rate_limited            | retry_after       | 3 × failed | 429 provider_rate_limited    | failed    | nothing
429, a long retry-after      | all    | rate_limited            | retry_after       | failed     | 429 provider_rate_limited    | failed    | nothing
insufficient_quota           | all    | quota_exceeded          | reevaluate_budget | failed     | 502 provider_failed          | failed    | nothing
500                          | all    | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
529                          | all    | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
connection refused           | all    | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
DNS failure                  | all    | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
TLS failure                  | all    | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
dropped connection           | all    | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | expected
dropped in mid-body          | whole  | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | expected
dropped in mid-body          | stream | network_unavailable     | retry             | cut        | 200 provider_failed          | failed    | generated
hang before headers          | all    | provider_timeout        | provider_failover | failed     | 504 provider_timeout         | failed    | expected
hang in mid-body             | whole  | provider_timeout        | provider_failover | failed     | 504 provider_timeout         | failed    | expected
hang in mid-body             | stream | provider_timeout        | provider_failover | cut        | 200 provider_timeout         | failed    | generated
malformed JSON               | all    | malformed_response      | provider_failover | failed     | 502 provider_failed          | failed    | expected
malformed JSON in mid-stream | stream | malformed_response      | provider_failover | cut        | 200 provider_failed          | failed    | generated
truncated                    | whole  | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | expected
truncated                    | stream | malformed_response      | provider_failover | cut        | 200 provider_failed          | failed    | generated
200 with an error body       | all    | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | expected
error event at once          | stream | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | expected
error event in mid-stream    | stream | transient_upstream      | retry             | cut        | 200 provider_failed          | failed    | generated
100 MB                       | all    | malformed_response      | provider_failover | failed     | 502 provider_failed          | failed    | expected
"""  # noqa: E501

# What a deterministic provider rehearses.
REHEARSALS = """
fault                        | asked  | class                   | action            | attempts   | answer                       | ledger    | charged
success                      | all    | -                       | -                 | answered   | 200                          | succeeded | reported
auth_invalid                 | all    | auth_invalid            | rotate_credential | failed     | 502 provider_failed          | failed    | nothing
auth_expired                 | all    | auth_expired            | rotate_credential | failed     | 502 provider_failed          | failed    | nothing
permission_denied            | all    | permission_denied       | provider_failover | failed     | 502 provider_failed          | failed    | nothing
rate_limited                 | all    | rate_limited            | retry_after       | 3 × failed | 429 provider_rate_limited    | failed    | nothing
quota_exceeded               | all    | quota_exceeded          | reevaluate_budget | failed     | 502 provider_failed          | failed    | nothing
transient_upstream           | all    | transient_upstream      | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
permanent_upstream           | all    | permanent_upstream      | provider_failover | failed     | 502 provider_failed          | failed    | nothing
context_window_exceeded      | all    | context_window_exceeded | user_action       | failed     | 400 context_length_exceeded  | failed    | nothing
content_policy_blocked       | all    | content_policy_blocked  | fail_closed       | failed     | 400 content_policy_violation | failed    | nothing
malformed_response           | all    | malformed_response      | provider_failover | failed     | 502 provider_failed          | failed    | expected
network_unavailable          | all    | network_unavailable     | retry             | 3 × failed | 502 provider_failed          | failed    | nothing
provider_timeout             | all    | provider_timeout        | provider_failover | failed     | 504 provider_timeout         | failed    | expected
"""  # noqa: E501

MID_STREAM = 3
SETTINGS: dict[str, Setting] = {
    "success": Setting(),
    "slow pieces": Setting(behaviour=Behaviour(pause=0.02)),
    "more output than allowed": Setting(behaviour=Behaviour(fault=Fault.BEYOND_CAP)),
    "no usage": Setting(behaviour=Behaviour(fault=Fault.NO_USAGE)),
    "400": Setting(behaviour=faults.INVALID_REQUEST),
    "401": Setting(behaviour=faults.INVALID_KEY),
    "403": Setting(behaviour=faults.FORBIDDEN),
    "404": Setting(behaviour=faults.NOT_FOUND),
    "408": Setting(behaviour=faults.TIMED_OUT),
    "409": Setting(behaviour=faults.CONFLICT),
    "413": Setting(behaviour=faults.TOO_LARGE),
    "422": Setting(behaviour=faults.UNPROCESSABLE),
    "context window exceeded": Setting(behaviour=faults.CONTEXT_EXCEEDED),
    "content policy": Setting(behaviour=faults.POLICY_VIOLATED),
    "429": Setting(behaviour=faults.RATE_LIMITED),
    "429, a short retry-after": Setting(behaviour=faults.RATE_LIMITED_SHORTLY),
    "429, a long retry-after": Setting(behaviour=faults.RATE_LIMITED_FOR_LONG),
    "insufficient_quota": Setting(behaviour=faults.OUT_OF_QUOTA),
    "500": Setting(behaviour=faults.INTERNAL_ERROR),
    "529": Setting(behaviour=faults.OVERLOADED),
    "dropped connection": Setting(behaviour=Behaviour(fault=Fault.DROPPED)),
    "dropped in mid-body": Setting(
        behaviour=Behaviour(fault=Fault.DROPPED_IN_BODY, after=MID_STREAM)
    ),
    "hang before headers": Setting(behaviour=Behaviour(fault=Fault.HANGS_BEFORE_HEADERS)),
    "hang in mid-body": Setting(behaviour=Behaviour(fault=Fault.HANGS_IN_BODY, after=MID_STREAM)),
    "malformed JSON": Setting(behaviour=Behaviour(fault=Fault.MALFORMED_JSON)),
    "malformed JSON in mid-stream": Setting(
        behaviour=Behaviour(fault=Fault.MALFORMED_JSON, after=MID_STREAM)
    ),
    "truncated": Setting(behaviour=Behaviour(fault=Fault.TRUNCATED, after=MID_STREAM)),
    "200 with an error body": Setting(behaviour=Behaviour(fault=Fault.ERROR_IN_SUCCESS)),
    "error event at once": Setting(behaviour=Behaviour(fault=Fault.ERROR_EVENT)),
    "error event in mid-stream": Setting(
        behaviour=Behaviour(fault=Fault.ERROR_EVENT, after=MID_STREAM)
    ),
    "100 MB": Setting(behaviour=Behaviour(fault=Fault.HUGE)),
}
UNREACHABLE = {"connection refused", "DNS failure", "TLS failure"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: what a fault comes to where it holds."""

    fault: str
    asked: str
    failure_class: str
    action: str
    attempts: list[tuple[str, str]]
    status: int
    code: str
    ledger: str
    charged: str

    def holds_for(self, operation: Operation) -> bool:
        return (
            self.asked in {"all", operation.value}
            or (self.asked == "whole" and operation is not Operation.STREAM)
            or (self.asked == "chats" and operation in CHATS)
        )


def read(table: str) -> list[Row]:
    """The rows of a table."""
    rows = []
    for line in table.strip().splitlines()[1:]:
        texts = ["" if text.strip() == "-" else text.strip() for text in line.split("|")]
        fault, asked, failure_class, action, attempts, answer, ledger, charged = texts
        times, _, outcome = attempts.rpartition(" × ")
        status, _, code = answer.partition(" ")
        listed = [(outcome, failure_class)] * int(times or 1)
        rows.append(
            Row(fault, asked, failure_class, action, listed, int(status), code, ledger, charged)
        )
    return rows


HOSTS, REHEARSED = read(MATRIX), read(REHEARSALS)


def faults_of(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.fault for row in rows))


def row_for(rows: list[Row], fault: str, operation: Operation) -> Row | None:
    """The one row that holds for a cell; None if the fault cannot befall such a request."""
    holding = [row for row in rows if row.fault == fault and row.holds_for(operation)]
    assert len(holding) <= 1, f"{fault} × {operation} is in the table more than once"
    return holding[0] if holding else None


@pytest.fixture(scope="module")
def settings_by_fault(running: Upstream) -> Iterator[dict[str, Setting]]:
    with ExitStack() as stack:
        addresses = {
            "connection refused": stack.enter_context(refusing()),
            "DNS failure": NO_SUCH_HOST,
            "TLS failure": tls_to_plain(running.base_url),
        }
        yield SETTINGS | {name: Setting(address=one) for name, one in addresses.items()}


@pytest.mark.usefixtures("connections_closed")
@pytest.mark.parametrize("fault", faults_of(HOSTS))
@pytest.mark.any_database
async def test_hosts(
    transactional_db: None,
    running: Upstream,
    settings_by_fault: dict[str, Setting],
    fault: str,
) -> None:
    running.forget()
    expected = {
        (kind, operation): row
        for kind in REMOTE
        for operation in OPERATIONS[kind]
        if (row := row_for(HOSTS, fault, operation)) is not None
    }
    await assert_all(expected, settings_by_fault[fault], running)


@pytest.mark.usefixtures("connections_closed")
@pytest.mark.parametrize("fault", faults_of(REHEARSED))
async def test_rehearsals(transactional_db: None, running: Upstream, fault: str) -> None:
    kind = ProviderKind.DETERMINISTIC
    expected = {
        (kind, operation): row
        for operation in OPERATIONS[kind]
        if (row := row_for(REHEARSED, fault, operation)) is not None
    }
    rehearsed = None if fault == "success" else FailureClass(fault)
    await assert_all(expected, Setting(rehearsed=rehearsed), running)


def test_the_tables_leave_nothing_out() -> None:
    """Every fault is there for every operation, but for those that only befall some."""
    absent = {
        (fault, operation)
        for rows in (HOSTS, REHEARSED)
        for fault in faults_of(rows)
        for operation in Operation
        if row_for(rows, fault, operation) is None
    }
    only_streams = {fault for fault in SETTINGS if fault.startswith(("error event", "malformed"))}
    only_streams.remove("malformed JSON")
    whole = set(Operation) - {Operation.STREAM}
    uncapped = {Operation.EMBEDDINGS, Operation.TRANSCRIPTION}
    assert absent == {(fault, operation) for fault in only_streams for operation in whole} | {
        ("more output than allowed", operation) for operation in uncapped
    }
    assert set(faults_of(HOSTS)) == set(SETTINGS) | UNREACHABLE
    assert set(faults_of(REHEARSED)) == {"success", *FailureClass}


@pytest.mark.parametrize("role", [ModelRole.EMBEDDINGS, ModelRole.AUDIO_TRANSCRIPTION])
def test_an_anthropic_provider_has_chat_models_only(db: None, role: ModelRole) -> None:
    provider = make_provider(kind=ProviderKind.ANTHROPIC, base_url="https://api.example.com/v1")
    with pytest.raises(ValidationError) as refused:
        make_model(provider=provider, role=role)
    assert set(refused.value.message_dict) == {"role"}


async def assert_all(
    expected: dict[tuple[ProviderKind, Operation], Row], setting: Setting, upstream: Upstream
) -> None:
    """Ask everything at once; every cell must come to what its row says."""
    key, cells = await sync_to_async(_make)(list(expected), setting, upstream)
    happened = await ask_all(key, cells)
    assert await held() == 0
    differences = []
    for one, row in zip(happened, expected.values(), strict=True):
        try:
            assert_as_expected(one, row, setting, upstream)
        except AssertionError as error:
            differences.append(f"{one.cell}: {error}")
    assert not differences, "\n".join(differences)


def _make(
    wanted: list[tuple[ProviderKind, Operation]], setting: Setting, upstream: Upstream
) -> tuple[str, list[Cell]]:
    key = make_key()
    return key, [make_cell(kind, operation, setting, upstream) for kind, operation in wanted]


def assert_as_expected(happened: Happened, row: Row, setting: Setting, upstream: Upstream) -> None:
    """The answer, the attempts, the ledger and the charge are those of the row."""
    answered, call = happened.answered, happened.call
    assert (answered.status, answered.error.get("code", "")) == (row.status, row.code), (
        answered.error
    )
    assert happened.attempts == row.attempts, call.attempts
    assert (call.status, call.failure_class) == (row.ledger, row.failure_class)
    assert (call.role, call.streamed) == (
        happened.cell.operation.role,
        happened.cell.operation is Operation.STREAM,
    )
    if row.failure_class:
        assert_failure(happened, row)
    else:
        assert_sound(happened.cell.operation, answered)
    if happened.cell.kind in REMOTE and not setting.address:
        assert_sent(happened, row, upstream)
    CHARGES[row.charged](happened, setting, upstream)


def assert_sent(happened: Happened, row: Row, upstream: Upstream) -> None:
    """Every attempt reached the host, none before the host had said it may, none for too long."""
    arrived = [one.arrived_at for one in upstream.received(happened.cell.upstream_name)]
    assert len(arrived) == len(row.attempts)
    if "short" in row.fault:
        assert min(after - before for before, after in pairwise(arrived)) >= faults.SHORT_WAIT
    if row.failure_class == FailureClass.PROVIDER_TIMEOUT:
        # It is told that nobody waits any more.
        upstream.wait_for_disconnects(happened.cell.upstream_name, 1)


def assert_failure(happened: Happened, row: Row) -> None:
    """A client is told what failed and what is best done, and not to try again by itself."""
    answered = happened.answered
    said = (answered.error["failure_class"], answered.error["recommended_action"])
    assert said == (row.failure_class, row.action)
    assert answered.error["message"]
    assert not answered.done
    if "MB" in row.fault:
        assert "larger than" in answered.error["message"]
    if row.status == 200:
        assert answered.text
        return
    assert answered.headers.get("x-should-retry") == "false"
    if row.status == 429:
        waits = int(answered.headers["retry-after"])
        assert waits == faults.LONG_WAIT if "long" in row.fault else waits >= 1


def assert_nothing_charged(happened: Happened, *_: Any) -> None:
    assert happened.call.cost == 0


def assert_expected_charged(happened: Happened, *_: Any) -> None:
    """Each attempt may have been worked on; nobody says what it used."""
    call = happened.call
    each = _cost(call.expected_input_tokens, call.expected_output_tokens)
    assert call.cost == call.estimate_expected == each
    assert each > 0
    assert not call.usage_reported


def assert_reported_charged(happened: Happened, setting: Setting, upstream: Upstream) -> None:
    call = happened.call
    assert call.usage_reported
    assert call.cost == _cost(call.uncached_input_tokens, call.output_tokens)
    assert call.cost
    if happened.cell.kind in REMOTE:
        (received,) = upstream.received(happened.cell.upstream_name)
        usage = received.usage(setting.behaviour)
        assert (call.uncached_input_tokens, call.output_tokens) == (usage.prompt, usage.completion)


def assert_estimate_charged(happened: Happened, *_: Any) -> None:
    call = happened.call
    assert not call.usage_reported
    assert call.cost == _cost(call.uncached_input_tokens, call.output_tokens)
    assert call.cost


def assert_generated_charged(happened: Happened, *_: Any) -> None:
    """What the client was given of the answer, a token for every four bytes."""
    call = happened.call
    assert not call.usage_reported
    assert call.output_tokens == ceil(len(happened.answered.text.encode()) / 4)
    assert call.cost == _cost(call.uncached_input_tokens, call.output_tokens)
    assert call.uncached_input_tokens


def _cost(entered: int | None, left: int | None) -> int:
    assert entered is not None and left is not None
    return entered * INPUT_NANO_DOLLARS + left * OUTPUT_NANO_DOLLARS


CHARGES: dict[str, Any] = {
    "nothing": assert_nothing_charged,
    "expected": assert_expected_charged,
    "reported": assert_reported_charged,
    "estimated": assert_estimate_charged,
    "generated": assert_generated_charged,
}
