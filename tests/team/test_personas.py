"""Every team page, asked for and posted to by everyone: who gets in, and what outsiders learn."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from governance.alerts.deliveries import new_delivery
from governance.models import ApiKey, Approval, BudgetPolicy, Channel, Delivery, Team
from palyra_site import team as team_pages
from scheduling import calendars, jobs
from scheduling.models import CronJob, CronRun, ExclusionCalendar, RunStatus
from tests.team.conftest import People
from tests.team.rows import make_run

# Who gets in is asked of Python: once is enough, and every page is looked at on each.
pytestmark = pytest.mark.any_database
# Every page of a team: its name, and which thing of the team its address names.
READ = {
    "home": "",
    "schedules": "",
    "schedule-create": "",
    "schedule-preview": "",
    "schedule": "job",
    "schedule-runs": "job",
    "schedule-edit": "job",
    "schedule-pause": "job",
    "schedule-try": "job",
    "schedule-run-page": "run",
    "schedule-run-cancel": "run",
    "calendars": "",
    "calendar-create": "",
    "calendar-edit": "calendar",
    "keys": "",
    "key-create": "",
    "key-revoke": "key",
    "requests": "",
    "request-create": "",
}
WRITE = {
    "schedule-create": "",
    "schedule-edit": "job",
    "schedule-pause": "job",
    "schedule-resume": "job",
    "schedule-run": "job",
    "schedule-try": "job",
    "schedule-review": "job",
    "schedule-run-cancel": "run",
    "schedule-run-again": "run",
    "schedule-run-tell-again": "delivery",
    "calendar-create": "",
    "calendar-edit": "calendar",
    "calendar-delete": "calendar",
    "key-create": "",
    "key-revoke": "key",
    "request-create": "",
}
Address = Callable[[str], str]


@pytest.fixture
def things(team: Team, job: CronJob, key: ApiKey, policy: BudgetPolicy) -> dict[str, list[object]]:
    """What an address has of a thing of the blue team, by the kind of thing."""
    run = make_run(job, status=RunStatus.QUEUED, finished_at=None)
    channel = Channel.objects.create(name="Ops", kind="console")
    now, body = run.queued_at, {"data": {"title": "Digest: failed"}}
    told = new_delivery(channel, "run.failed", body, now, team_id=team.pk, run_id=run.pk)
    told.save()
    return {
        "": [],
        "job": [job.pk],
        "run": [job.pk, run.pk],
        "delivery": [job.pk, run.pk, told.pk],
        "calendar": [calendars.create(team=team, name="Digest days", dates=["2099-12-25"]).pk],
        "key": [key.public_id],
    }


@pytest.fixture
def address(team: Team, things: dict[str, list[object]]) -> Address:
    """The address of a page of the blue team, by the page's name."""
    kinds = READ | WRITE
    return lambda page: reverse(f"team:{page}", args=[team.slug, *things[kinds.get(page, "")]])


def test_every_page_of_a_team_is_looked_at_here() -> None:
    routed = {
        str(pattern.name)
        for pattern in team_pages.urlpatterns
        if "<slug:team>" in str(pattern.pattern)
    }
    assert routed == READ.keys() | WRITE.keys()


@pytest.mark.parametrize("page", sorted(READ))
@pytest.mark.parametrize("persona", ["manager", "member", "superuser"])
@pytest.mark.every_database
def test_those_of_the_team_see_it(
    client: Client, people: People, address: Address, persona: str, page: str
) -> None:
    client.force_login(getattr(people, persona))
    response = client.get(address(page))
    expected = 403 if (persona, page) == ("member", "key-revoke") else 200
    assert response.status_code == expected


@pytest.mark.parametrize("page", sorted(READ.keys() | WRITE.keys()))
def test_an_outsider_is_told_there_is_nothing(
    outsider: Client, address: Address, page: str
) -> None:
    before = _everything()
    read, written = outsider.get(address(page)), outsider.post(address(page), {"name": "x"})
    methods = {read.status_code, written.status_code}
    assert methods <= {404, 405}
    assert 404 in methods
    assert "Blue Team" not in read.content.decode() + written.content.decode()
    assert _everything() == before


def test_another_teams_page_looks_like_no_page(outsider: Client, address: Address) -> None:
    theirs = outsider.get(address("home"))
    none = outsider.get("/team/no-such-team/")
    assert theirs.status_code == none.status_code == 404
    assert _unchanging(theirs.content.decode()) == _unchanging(none.content.decode())


@pytest.mark.parametrize("page", sorted(READ.keys() | WRITE.keys()))
def test_who_is_not_signed_in_is_sent_to_sign_in(
    client: Client, address: Address, page: str
) -> None:
    before = _everything()
    where = address(page)
    answers = [client.get(where), client.post(where, {"name": "x"})]
    sent = [answer for answer in answers if answer.status_code != 405]
    assert sent
    for answer in sent:
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"/account/sign-in/?next={where}"
    assert _everything() == before


@pytest.mark.parametrize("page", sorted(WRITE.keys() - READ.keys()))
def test_what_changes_something_needs_a_post(member: Client, address: Address, page: str) -> None:
    assert member.get(address(page)).status_code == 405


@pytest.mark.parametrize("page", sorted(WRITE))
def test_a_post_needs_a_token(people: People, address: Address, page: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(people.manager)
    before = _everything()
    assert strict.post(address(page), {"name": "x"}).status_code == 403
    assert _everything() == before


@pytest.mark.parametrize("page", sorted(page for page, of in (READ | WRITE).items() if of))
def test_one_team_does_not_reach_anothers_things_through_its_own_address(
    outsider: Client, red: Team, things: dict[str, list[object]], page: str
) -> None:
    where = reverse(f"team:{page}", args=[red.slug, *things[(READ | WRITE)[page]]])
    before = _everything()
    codes = {outsider.get(where).status_code, outsider.post(where, {"reason": "x"}).status_code}
    assert codes <= {404, 405}
    assert 404 in codes
    assert _everything() == before


def test_a_preview_of_anothers_job_is_nothing(outsider: Client, red: Team, job: CronJob) -> None:
    where = reverse("team:schedule-preview", args=[red.slug])
    assert outsider.get(where, {"job": str(job.pk)}).status_code == 404
    assert outsider.get(where, {"job": "nonsense"}).status_code == 404
    assert outsider.get(where, {"job": str(uuid4())}).status_code == 404


def test_a_run_is_not_reached_through_another_job(
    member: Client, team: Team, job: CronJob, things: dict[str, list[object]], now: datetime
) -> None:
    other = jobs.create_job(
        team=team, name="Other", schedule_kind="cron", cron="0 9 * * *", prompt="x", now=now
    )
    for page in ("schedule-run-page", "schedule-run-cancel"):
        where = reverse(f"team:{page}", args=[team.slug, other.pk, things["run"][1]])
        assert member.get(where).status_code == 404


def test_calendars_of_everyone_are_seen_and_not_changed(
    manager: Client, people: People, team: Team
) -> None:
    shared = calendars.create(team=None, name="Holidays", dates=["2099-12-25"])
    assert "Holidays" in manager.get(reverse("team:calendars", args=[team.slug])).content.decode()
    for page in ("calendar-edit", "calendar-delete"):
        where = reverse(f"team:{page}", args=[team.slug, shared.pk])
        assert manager.post(where, {"name": "Mine", "dates": ""}).status_code == 404
    shared.refresh_from_db()
    assert shared.name == "Holidays"


def test_another_teams_budget_cannot_be_asked_about(
    outsider: Client, red: Team, policy: BudgetPolicy
) -> None:
    response = outsider.post(
        reverse("team:request-create", args=[red.slug]),
        {"policy": policy.name, "amount": "5", "reason": "Please."},
    )
    assert response.status_code == 200
    assert "Blue monthly" not in response.content.decode()
    assert not Approval.objects.exists()


@pytest.mark.parametrize(
    "page", ["home", "schedules", "schedule-create", "calendars", "keys", "requests"]
)
def test_a_team_sees_nothing_of_another(
    outsider: Client, red: Team, address: Address, page: str
) -> None:
    shown = outsider.get(reverse(f"team:{page}", args=[red.slug])).content.decode()
    assert "Red Team" in shown
    for theirs in ("Blue", "Digest", "Billing"):
        assert theirs not in shown


def test_a_former_member_is_an_outsider(member: Client, people: People, address: Address) -> None:
    people.member.memberships.all().delete()
    assert member.get(address("home")).status_code == 404


def test_a_part_of_a_page_is_told_when_the_session_has_ended(
    client: Client, address: Address
) -> None:
    response = client.get(address("schedule-preview"), headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "You are no longer signed in" in response.content.decode()
    assert "<html" not in response.content.decode()


def test_pages_are_not_kept_and_load_nothing_from_elsewhere(
    member: Client, address: Address
) -> None:
    response = member.get(address("home"))
    assert "no-store" in response.headers["Cache-Control"]
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    shown = response.content.decode()
    assert "style=" not in shown
    assert "<script>" not in shown
    assert "https://" not in shown
    files = re.findall(r'(?:href|src)="/static/([^"]+)"', shown)
    assert files
    assert [name for name in files if finders.find(name) is None] == []


def _everything() -> list[object]:
    """What a refused request must leave as it was."""
    return [
        list(CronJob.objects.order_by("pk").values()),
        list(CronRun.objects.order_by("pk").values()),
        list(ExclusionCalendar.objects.order_by("pk").values()),
        list(ApiKey.objects.order_by("pk").values()),
        list(Approval.objects.order_by("pk").values()),
        list(Delivery.objects.order_by("pk").values()),
    ]


def _unchanging(page: str) -> list[str]:
    return [line for line in page.splitlines() if "csrfmiddlewaretoken" not in line]
