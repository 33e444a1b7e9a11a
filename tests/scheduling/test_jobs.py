"""Making and changing scheduled prompts: all faults at once, and nothing stored of a faulty one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from governance.models import Team
from scheduling import handling, jobs, output_schemas, previews
from scheduling.forms.timing import local_times
from scheduling.models import CronJob, CronRun, RunStatus, RunTrigger
from scheduling.prompting import reading
from tests.scheduling.conftest import MakeJob

YEAR = timedelta(days=365)


def faults(caught: pytest.ExceptionInfo[ValidationError]) -> dict[str, list[str]]:
    return dict(caught.value.message_dict)


def test_a_job_runs_first_one_interval_after_it_was_made(team: Team) -> None:
    now = datetime(2026, 3, 15, 12, 0, 0, 700_000, tzinfo=UTC)

    job = jobs.create_job(
        team=team, name=" Pulse ", schedule_kind="every", every_seconds=2, prompt="Well?", now=now
    )

    stored = CronJob.objects.get()
    assert stored.name == job.name == "Pulse"
    assert stored.next_slot == datetime(2026, 3, 15, 12, 0, 2, tzinfo=UTC)
    assert stored.enabled
    assert stored.revision == 0


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"schedule_kind": "cron", "cron": "0 * * * * *"}, {"cron": "6 fields were given"}),
        ({"schedule_kind": "cron", "cron": ""}, {"cron": "Give five fields"}),
        ({"schedule_kind": "every", "every_seconds": 0}, {"every_seconds": "from 1 to"}),
        ({"schedule_kind": "every", "every_seconds": None}, {"every_seconds": "number of seconds"}),
        ({"schedule_kind": "every", "every_seconds": 5, "cron": "* * * * *"}, {"cron": "empty"}),
        ({"zone": "Europe/Atlantis"}, {"zone": "is not a time zone"}),
        ({"schedule_kind": "hourly"}, {"schedule_kind": "not a valid choice"}),
        ({"prompt": ""}, {"prompt": "blank"}),
        ({"prompt": " \n"}, {"prompt": "Write what"}),
        ({"name": "Taken"}, {"name": "already has a scheduled prompt of that name"}),
        ({"max_output_tokens": 0}, {"max_output_tokens": "greater than or equal to 1"}),
        (
            {"schedule_kind": "at", "at": datetime(2020, 1, 1, tzinfo=UTC), "every_seconds": 2},
            {"at": "That time has passed", "every_seconds": "empty"},
        ),
        (
            {"name": "", "schedule_kind": "cron", "cron": "x", "zone": "?", "prompt": ""},
            {"name": "blank", "cron": "1 field", "zone": "", "prompt": ""},
        ),
    ],
)
def test_every_fault_is_told_by_field_and_nothing_is_stored(
    team: Team, make_job: MakeJob, fields: dict[str, Any], faulty: dict[str, str]
) -> None:
    make_job(name="Taken")
    given: dict[str, Any] = {
        "team": team,
        "name": "New",
        "schedule_kind": "every",
        "prompt": "Well?",
        "now": timezone.now(),
    }
    if fields.get("schedule_kind", "every") == "every":
        given["every_seconds"] = 60

    with pytest.raises(ValidationError) as caught:
        jobs.create_job(**given | fields)

    found = faults(caught)
    assert found.keys() == faulty.keys()
    for field, words in faulty.items():
        assert len(found[field]) == 1
        assert words in found[field][0]
    assert CronJob.objects.count() == 1


def test_another_team_may_use_the_name(team: Team, make_job: MakeJob) -> None:
    make_job(name="Digest")
    other = Team.objects.create(slug="other", name="Other")

    assert make_job(name="Digest", team=other).team == other


def test_a_naive_time_is_what_clocks_in_the_zone_show(make_job: MakeJob) -> None:
    year = timezone.now().year + 1

    job = make_job(
        schedule_kind="at", at=datetime.fromisoformat(f"{year}-01-31 09:00"), zone="Asia/Kolkata"
    )

    assert job.at == job.next_slot == datetime(year, 1, 31, 3, 30, tzinfo=UTC)


def test_a_naive_time_in_an_unknown_zone_is_the_zones_fault(make_job: MakeJob) -> None:
    with pytest.raises(ValidationError) as caught:
        make_job(
            schedule_kind="at", at=(timezone.now() + YEAR).replace(tzinfo=None), zone="Nowhere"
        )

    assert faults(caught).keys() == {"zone"}


def test_a_stored_time_that_has_passed_is_no_fault_of_an_edit(make_job: MakeJob) -> None:
    now = timezone.now()
    job = make_job(schedule_kind="at", at=now + YEAR)
    CronJob.objects.update(at=now - YEAR, next_slot=None)
    job.refresh_from_db()

    jobs.update_job(job, prompt="Something else", now=now)

    assert job.prompt == "Something else"
    with pytest.raises(ValidationError) as caught:
        jobs.update_job(job, at=now - 2 * YEAR, now=now)
    assert "That time has passed" in faults(caught)["at"][0]
    assert CronJob.objects.get().at == now - YEAR


def test_an_edit_of_the_prompt_leaves_the_dispatchers_work_alone(make_job: MakeJob) -> None:
    job = make_job()
    read_before = CronJob.objects.get()
    moved = timezone.now() + timedelta(minutes=5)
    CronJob.objects.update(next_slot=moved, last_error="It could not be started.")

    read_before.prompt = "Something else"
    jobs.assign_schedule(read_before, now=timezone.now())
    read_before.full_clean()
    read_before.save()

    job.refresh_from_db()
    assert (job.prompt, job.revision) == ("Something else", 1)
    assert (job.next_slot, job.last_error) == (moved, "It could not be started.")


def test_an_edit_of_the_schedule_counts_from_now(make_job: MakeJob) -> None:
    job = make_job(every_seconds=60)
    CronJob.objects.update(last_error="Broken", retry_at=timezone.now() + YEAR)
    now = datetime(2030, 1, 1, tzinfo=UTC)

    jobs.update_job(job, every_seconds=10, now=now)

    assert (job.anchor_at, job.next_slot) == (now, now + timedelta(seconds=10))
    assert (job.revision, job.last_error, job.retry_at) == (1, "", None)


def test_another_kind_empties_the_former_kinds_field(make_job: MakeJob) -> None:
    job = make_job(every_seconds=60)

    jobs.update_job(job, schedule_kind="cron", cron=" @daily ", now=timezone.now())

    assert (job.schedule_kind, job.cron, job.every_seconds) == ("cron", "@daily", None)
    assert job.next_slot is not None
    assert (job.next_slot.hour, job.next_slot.minute) == (0, 0)


def test_a_faulty_edit_changes_nothing(make_job: MakeJob) -> None:
    job = make_job(every_seconds=60)
    before = CronJob.objects.values().get()

    with pytest.raises(ValidationError) as caught:
        jobs.update_job(job, every_seconds=0, zone="Nowhere", prompt="", now=timezone.now())

    assert faults(caught).keys() == {"every_seconds", "zone", "prompt"}
    assert CronJob.objects.values().get() == before


def test_what_takes_a_moment_to_check_is_checked_before_the_row_is_held(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, locked, looked = make_job(), jobs._locked, []

    def looked_at() -> int:
        known = (output_schemas._written_faults, reading._known_faults)
        return sum(one.cache_info().misses for one in known)

    def locking(job: CronJob) -> CronJob:
        looked.append(looked_at())
        return locked(job)

    before = looked_at()
    monkeypatch.setattr(jobs, "_locked", locking)
    with pytest.raises(ValidationError) as caught:
        jobs.update_job(
            job,
            name="",
            prompt="{{ held }}",
            system_prompt="{{ held + 1 }}",
            output_schema={"title": "Held", "type": "strin"},
            now=timezone.now(),
        )

    assert faults(caught).keys() == {"name", "prompt", "system_prompt", "output_schema"}
    assert looked == [before + 3] == [looked_at()]


def test_only_what_people_set_can_be_changed(make_job: MakeJob) -> None:
    with pytest.raises(TypeError, match="next_slot"):
        jobs.update_job(make_job(), next_slot=None, now=timezone.now())


def test_a_deleted_job_cannot_be_changed(make_job: MakeJob) -> None:
    job = make_job()
    CronJob.objects.all().delete()

    with pytest.raises(ValidationError, match="has been deleted"):
        jobs.pause(job, reason="Holidays", now=timezone.now())


def test_a_pause_is_no_miss(make_job: MakeJob) -> None:
    start = datetime(2026, 3, 15, 12, tzinfo=UTC)
    job = make_job(every_seconds=60, now=start)

    jobs.pause(job, reason=" Holidays ", now=start)
    assert (job.enabled, job.next_slot, job.paused_reason) == (False, None, "Holidays")

    jobs.resume(job, now=start + timedelta(hours=1, seconds=30))
    assert (job.enabled, job.paused_reason) == (True, "")
    # The grid is the one it had.
    assert job.next_slot == start + timedelta(hours=1, minutes=1)


@pytest.mark.parametrize("reason", ["x" * 201, "", " "])
def test_a_pause_needs_a_reason_that_can_be_kept(make_job: MakeJob, reason: str) -> None:
    job = make_job()

    with pytest.raises(ValidationError) as caught:
        jobs.pause(job, reason=reason, now=timezone.now())

    assert faults(caught).keys() == {"paused_reason"}
    assert CronJob.objects.get().enabled


def test_a_job_whose_time_has_passed_cannot_be_resumed(make_job: MakeJob) -> None:
    now = timezone.now()
    job = make_job(schedule_kind="at", at=now + YEAR)
    jobs.pause(job, reason="Holidays", now=now)

    with pytest.raises(ValidationError) as caught:
        jobs.resume(job, now=now + 2 * YEAR)

    assert faults(caught).keys() == {"at"}
    assert not CronJob.objects.get().enabled


def test_running_now_is_a_run_of_its_own_and_one_at_a_time(make_job: MakeJob) -> None:
    job = make_job()
    due, now = job.next_slot, timezone.now()
    jobs.pause(job, reason="Holidays", now=now)

    run = handling.run_now(job, now=now)

    stored = CronRun.objects.get()
    assert stored == run
    assert (stored.trigger, stored.status, stored.slot) == (
        RunTrigger.MANUAL,
        RunStatus.QUEUED,
        now,
    )
    with pytest.raises(ValidationError, match="Wait for it to end"):
        handling.run_now(job, now=now)
    assert CronRun.objects.count() == 1
    jobs.resume(job, now=now)
    assert job.next_slot == due


@pytest.mark.parametrize(
    "change",
    [{"max_runs": 100}, {"jitter_seconds": 60}, {"ends_at": datetime(2099, 1, 1, tzinfo=UTC)}],
)
def test_a_time_that_has_come_is_not_dropped_by_an_edit_that_leaves_the_times(
    make_job: MakeJob, change: dict[str, Any]
) -> None:
    due = timezone.now().replace(second=0, microsecond=0)
    job = make_job(schedule_kind="cron", cron="* * * * *", due=due)

    jobs.update_job(job, now=due + timedelta(seconds=5), **change)

    assert job.next_slot == due
    assert not job.runs.exists()


def test_a_preview_says_when_and_in_words() -> None:
    now = datetime(2026, 3, 27, 12, tzinfo=UTC)

    preview = previews.preview(
        schedule_kind="cron", cron="0 9 * * *", zone="Europe/Prague", now=now, count=3
    )

    assert preview.sentence == "At 09:00 every day, Europe/Prague"
    assert [time.slot.isoformat() for time in preview.times] == [
        "2026-03-28T08:00:00+00:00",
        "2026-03-29T07:00:00+00:00",
        "2026-03-30T07:00:00+00:00",
    ]


def test_a_faulty_preview_tells_every_fault() -> None:
    now = datetime(2026, 3, 27, 12, tzinfo=UTC)

    with pytest.raises(ValidationError) as caught:
        previews.preview(schedule_kind="at", at=now, cron="* * * * *", zone="Nowhere", now=now)

    assert faults(caught).keys() == {"at", "cron", "zone"}


def test_a_schedule_that_cannot_be_used_any_more_is_said_to_be_so(make_job: MakeJob) -> None:
    make_job(schedule_kind="cron", cron="@daily")
    CronJob.objects.update(cron="0 0 30 2 *")

    assert "The date never comes" in jobs.sentence(CronJob.objects.get())


def test_a_stored_time_that_leaves_the_calendar_does_not_break_what_shows_it(
    make_job: MakeJob,
) -> None:
    make_job(schedule_kind="cron", cron="@daily")
    CronJob.objects.update(ends_at=datetime.max.replace(tzinfo=UTC), zone="Pacific/Kiritimati")
    job = CronJob.objects.get()

    assert "Give a year from 2000 to 2999." in jobs.sentence(job)
    assert previews.next_times(job, timezone.now()) == []
    assert job.ends_at is not None
    assert local_times(job, "ends_at") == {"ends_at": job.ends_at.replace(tzinfo=None)}
