"""What a worker does with a message: the calls of its runs, all at once.

The task's thread reads and writes the database, the runtime's event loop makes the calls. Each run
is claimed and finished by a conditional update, so a message that comes twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from django.db import Error, transaction
from django.utils import timezone

from governance import calls, kept_calls
from governance.calls import Caller, CallRequest, CallResult
from governance.errors import BudgetBlocked, CallError, UnpricedModel
from governance.models import ModelCall, Surface, TaskClass
from governance.runtime import BlockingRuntime, Runtime, blocking_runtime
from scheduling.models import CronRun, RunStatus
from scheduling.patience import patiently

logger = logging.getLogger(__name__)
LONGEST_CALL_SECONDS = 600
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its status and the columns that say so."""

    run: CronRun
    status: RunStatus
    columns: dict[str, Any] = field(default_factory=dict)


def execute_runs(pairs: Sequence[tuple[str, str]]) -> None:
    """Make the calls of the runs, named by id and token, that nobody has claimed yet."""
    runtime = blocking_runtime(role="worker")
    claimed = patiently(partial(claim, pairs, owner=runtime.process_id))
    for ended in _as_they_end(claimed, runtime):
        try:
            patiently(partial(finish, ended))
        except Error:
            # Recovery closes them as unconfirmed; the other runs of the message go on.
            logger.exception("%d runs ended and could not be written", len(ended))


def make_kept_call(call_id: str) -> None:
    """Make a call that was kept until it was approved, if nobody has begun it yet."""
    kept_calls.make(UUID(call_id), blocking_runtime(role="worker"))


def claim(pairs: Sequence[tuple[str, str]], *, owner: UUID) -> list[CronRun]:
    """Take the queued runs for this process, and give those that were to be had."""
    now = timezone.now()
    taken = []
    with transaction.atomic():
        # In one order everywhere, so that no two messages wait for each other.
        for run_id, token in sorted(pairs):
            queued = CronRun.objects.filter(id=run_id, token=token, status=RunStatus.QUEUED)
            if queued.update(status=RunStatus.RUNNING, owner=owner, started_at=now):
                taken.append(run_id)
        return list(CronRun.objects.filter(id__in=taken).select_related("job"))


def finish(ended: Sequence[Ended]) -> int:
    """Write how runs ended; how many were still this process's to end."""
    now = timezone.now()
    with transaction.atomic():
        return sum(_finish_one(end, now) for end in ended)


def _finish_one(ended: Ended, now: datetime) -> int:
    run = ended.run
    charged = {} if ended.status == RunStatus.SUCCEEDED else _charged(run)
    own = CronRun.objects.filter(
        id=run.id, token=run.token, owner=run.owner, status=RunStatus.RUNNING
    )
    written = own.update(status=ended.status, finished_at=now, **charged | ended.columns)
    if not written:
        logger.warning("Run %s ended as %s after it had been closed.", run.id, ended.status)
    return written


def _charged(run: CronRun) -> dict[str, Any]:
    """What the ledger says of a run without an answer: some failures are billed all the same."""
    call = ModelCall.objects.filter(run_id=run.id).order_by("-admitted_at").first()
    if call is None:
        return {}
    return {"call_id": call.id, "model": f"{call.provider}/{call.model}"[:200], "cost": call.cost}


def _as_they_end(runs: Sequence[CronRun], runtime: BlockingRuntime) -> Iterator[list[Ended]]:
    """Make all the calls at once, and give the runs that have ended as soon as there are some."""
    if not runs:
        return
    ends: SimpleQueue[Ended | None] = SimpleQueue()
    with ThreadPoolExecutor(1, thread_name_prefix="runs") as waiting:
        made = waiting.submit(runtime.call, partial(_make_calls, runs, ends))
        made.add_done_callback(lambda _: ends.put(None))
        last = False
        while not last:
            found = [ends.get()]
            while not ends.empty():
                found.append(ends.get())
            last = None in found
            yield [end for end in found if end is not None]
        made.result()


async def _make_calls(
    runs: Sequence[CronRun], ends: SimpleQueue[Ended | None], runtime: Runtime
) -> None:
    async def make(run: CronRun) -> None:
        ends.put(await make_call(run, runtime))

    await asyncio.gather(*(make(run) for run in runs))


async def make_call(run: CronRun, runtime: Runtime) -> Ended:
    """Make one run's call. Whatever goes wrong is told in the run, and nothing is raised."""
    try:
        async with asyncio.timeout(LONGEST_CALL_SECONDS):
            # Settled first, so that the ledger has the cost by the time the run shows it.
            result = await calls.execute(_request(run), runtime=runtime, settled=True)
    except (BudgetBlocked, UnpricedModel) as error:
        return _refused(run, RunStatus.BLOCKED_BY_BUDGET, error)
    except CallError as error:
        return _refused(run, RunStatus.FAILED, error)
    except TimeoutError:
        minutes = LONGEST_CALL_SECONDS // 60
        return _failed(run, f"The call took longer than {minutes} minutes and was given up.")
    except Exception:
        logger.exception("Run %s failed by a fault of Palyra's", run.id)
        return _failed(run, f"Palyra failed while making the call; its log names run {run.id}.")
    return Ended(run, RunStatus.SUCCEEDED, _answer_columns(result))


def _request(run: CronRun) -> CallRequest:
    job = run.job
    body: dict[str, Any] = {"model": job.model, "messages": _messages(run)}
    if job.max_output_tokens is not None:
        body["max_tokens"] = job.max_output_tokens
    return CallRequest(
        caller=Caller(
            team_id=job.team_id,
            surface=Surface.SCHEDULE,
            user_id=job.created_by_id,
            job_id=job.id,
            run_id=run.id,
        ),
        body=body,
        task_class=TaskClass.BACKGROUND_AUTOMATION,
    )


def _messages(run: CronRun) -> list[dict[str, str]]:
    spoken = [("system", run.job.system_prompt), ("user", run.job.prompt)]
    return [{"role": role, "content": content} for role, content in spoken if content]


def _answer_columns(result: CallResult) -> dict[str, Any]:
    return {
        "call_id": result.call_id,
        "model": f"{result.provider}/{result.model}"[:200],
        "output": result.text,
        "input_tokens": result.usage.input,
        "output_tokens": result.usage.output,
        "cost": result.cost,
    }


def _refused(run: CronRun, status: RunStatus, error: CallError) -> Ended:
    return Ended(run, status, {"call_id": error.call_id, "reason": _shortened(error.message)})


def _failed(run: CronRun, reason: str) -> Ended:
    return Ended(run, RunStatus.FAILED, {"reason": reason})


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
