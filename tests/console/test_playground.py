"""The playground's page, explanations and snippets, and who may do what there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from governance.models import Approval, BudgetWindow, CallStatus, ModelCall, Surface, Team
from palyra_site.console.playground.forms import PlaygroundForm
from scheduling.models import CronJob
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of
from tests.support.factories import make_model, make_policy, make_price, make_provider, make_team

# What the page says and who may use it: once is enough.
pytestmark = pytest.mark.any_database
PAGE, EXPLAIN = "/admin/playground/", "/admin/playground/explain/"
CODE, SEND = "/admin/playground/code/", "/admin/playground/send/"
ADD = "/admin/scheduling/cronjob/add/"


@pytest.fixture
def team(db: None) -> Team:
    """A team, two priced models and a budget with plenty of room."""
    provider = make_provider(name="acme")
    for name, is_default in (("large", True), ("small", False)):
        model = make_model(
            provider=provider, name=name, is_default=is_default, max_output_tokens=1000
        )
        make_price(model, uncached_input=10**9 * (4 if is_default else 1))
    made = make_team(name="Research")
    make_policy(name="Monthly", hard_limit=10 * 10**9)
    return made


def asked(team: Team, **fields: Any) -> dict[str, Any]:
    """The form as it is sent."""
    return {
        "team": team.pk,
        "model": "auto",
        "system_prompt": "",
        "prompt": "Hello.",
        "task_class": "primary_interactive",
        "routing_mode": "",
        "max_output_tokens": "",
        **fields,
    }


def explain(client: Client, team: Team, **fields: Any) -> str:
    """What the page then says."""
    response = client.post(EXPLAIN, asked(team, **fields))
    assert response.status_code == 200
    return text_of(response.content.decode())


def test_the_page_offers_teams_and_models(browser: Client, team: Team) -> None:
    make_team(name="Gone", enabled=False)

    html = browser.get(PAGE).content.decode()

    said = text_of(html)
    assert "Research" in said and "Gone" not in said
    assert "large (acme)" in said
    assert 'id="playground-send"' in html


def test_a_link_may_fill_in_what_is_not_the_prompt(browser: Client, team: Team) -> None:
    given = {"team": str(team.pk), "model": "small", "routing_mode": "enforced", "prompt": "No."}

    sent = filled(browser.get(PAGE, given).content.decode(), "playground_form")

    assert (sent["team"], sent["model"], sent["routing_mode"]) == (
        str(team.pk),
        "small",
        "enforced",
    )
    assert sent["prompt"].strip() == ""


def test_without_a_model_it_says_what_to_do_first(browser: Client) -> None:
    html = browser.get(PAGE).content.decode()

    assert "There is no model to ask yet" in html
    assert reverse("admin:providers_provider_presets") in html


def test_without_a_team_it_says_what_to_do_first(browser: Client, team: Team) -> None:
    Team.objects.update(enabled=False)

    assert "There is no team to ask for yet" in browser.get(PAGE).content.decode()


def test_an_explanation_says_which_model_at_what_cost_on_which_budget(
    browser: Client, team: Team
) -> None:
    said = explain(browser, team, routing_mode="suggest", max_output_tokens="100")

    assert "This call would go to acme/large." in said
    assert "acme/small Recommended" in said
    assert "acme/large Would be used Default" in said
    assert "at most 100 tokens" in said
    assert "Complexity:" in said
    assert "Monthly Has room" in said
    assert "Left after it" in said
    assert "Nothing was sent" in said


def test_the_mode_that_is_asked_for_decides(browser: Client, team: Team) -> None:
    said = explain(browser, team, routing_mode="enforced")

    assert "This call would go to acme/small." in said
    assert "Enforced, because the request asks for it" in said


def test_a_model_that_may_not_be_used_says_why(browser: Client, team: Team) -> None:
    Team.objects.update(allowed_models=["acme/small"])

    said = explain(browser, team)

    assert "No. The team may not use it." in said
    assert "The team may not use this model" in explain(browser, team, model="large")


def test_a_budget_that_would_refuse_says_so_beforehand(browser: Client, team: Team) -> None:
    make_policy(name="Tiny", hard_limit=1)

    said = explain(browser, team)

    assert "A budget would refuse this call." in said
    assert "Tiny Refused" in said
    assert "there is no room for" in said


def test_an_unpriced_model_is_not_taken_for_free(browser: Client, team: Team) -> None:
    make_model(name="mystery")

    said = explain(browser, team, model="mystery")

    assert "A budget would refuse this call." in said
    assert "Monthly Cost unknown" in said


@pytest.mark.every_database
def test_the_persons_own_budget_counts(browser: Client, administrator: User, team: Team) -> None:
    make_policy(name="Mine", scope="user", value=str(administrator.pk), hard_limit=10**9)

    assert "Mine Has room" in explain(browser, team)


@pytest.mark.every_database
def test_nothing_is_written_by_explaining(browser: Client, team: Team) -> None:
    make_policy(name="Ask first", action="approval", hard_limit=1)

    assert "This call would need approval." in explain(browser, team)

    assert not ModelCall.objects.exists()
    assert not BudgetWindow.objects.exists()
    assert not Approval.objects.exists()


@pytest.mark.parametrize("address", [EXPLAIN, CODE])
def test_every_fault_is_said_at_once(browser: Client, team: Team, address: str) -> None:
    wrong = asked(team, model="no-such", prompt=" \n", max_output_tokens="0") | {"team": "0"}

    said = text_of(browser.post(address, wrong).content.decode())

    for fault in (
        "Team: Choose a team that is enabled.",
        "Model: There is no enabled chat model of that name any more.",
        "Prompt: Write what the model is to be asked.",
        "Most output tokens: Ensure this value is greater than or equal to 1.",
    ):
        assert fault in said


def test_the_same_call_can_be_copied(browser: Client, team: Team, settings: Any) -> None:
    settings.PALYRA_PUBLIC_URL = "https://palyra.example.com"
    sent = asked(team, model="small", prompt="It's <b>", task_class="auxiliary_recall")

    html = browser.post(CODE, sent).content.decode()

    assert "https://palyra.example.com/v1/chat/completions" in text_of(html)
    assert "X-Palyra-Task-Class" in html
    assert "<b>" not in html


def test_what_is_typed_is_sent_as_it_is(team: Team) -> None:
    form = PlaygroundForm(asked(team, prompt="  a\r\nb\n ", system_prompt="\r\nc"))

    assert form.is_valid(), form.errors
    messages = form.call(None).body["messages"]
    assert [one["content"] for one in messages] == ["\nc", "  a\nb\n "]


def test_an_auditor_may_have_calls_explained_and_send_none(team: Team) -> None:
    auditor = signed_in(staff("auditor", "governance.view_modelcall"))

    html = auditor.get(PAGE).content.decode()

    assert 'id="playground-send"' not in html
    assert "data-send" not in html
    assert "Make this a schedule" not in html
    assert "This call would go to" in explain(auditor, team)
    assert auditor.post(SEND, asked(team)).status_code == 403


def test_the_palette_finds_it_for_whoever_may_open_it(team: Team) -> None:
    def found(permission: str) -> str:
        client = signed_in(staff(f"with {permission}", permission))
        search = client.get("/admin/search/", {"s": "playgr", "extended": "1"})
        return search.content.decode()

    assert PAGE in found("governance.view_modelcall")
    assert PAGE in found("governance.use_playground")
    assert PAGE not in found("governance.view_team")


def test_links_lead_only_where_the_person_may_go(team: Team) -> None:
    auditor = signed_in(staff("auditor", "governance.view_modelcall"))
    policies = signed_in(
        staff("planner", "governance.view_modelcall", "governance.view_budgetpolicy")
    )

    assert "budgetpolicy" not in auditor.post(EXPLAIN, asked(team)).content.decode()
    assert "budgetpolicy" in policies.post(EXPLAIN, asked(team)).content.decode()


def test_whoever_may_only_send_sees_no_more_of_the_ledger_than_their_own(team: Team) -> None:
    sender = staff("sender", "governance.use_playground")
    mine = make_call(team, sender)
    other = make_call(team)
    client = signed_in(sender)

    shown = client.get(reverse("admin:playground_settled", args=[mine.pk]))

    assert client.get(PAGE).status_code == 200
    assert shown.status_code == 200
    assert "The call’s story" not in shown.content.decode()
    assert client.get(reverse("admin:playground_settled", args=[other.pk])).status_code == 202


def test_a_call_under_way_has_no_cost_yet(browser: Client, seeded: Seeded) -> None:
    ModelCall.objects.filter(pk=seeded.call.pk).update(status=CallStatus.SUCCEEDED)
    address = reverse("admin:playground_settled", args=[seeded.call.pk])
    said = text_of(browser.get(address).content.decode())
    assert "Succeeded" in said and "Cost $" in said and "The call’s story" in said

    flying = ModelCall.objects.filter(status=CallStatus.IN_FLIGHT).first()
    assert flying is not None

    assert browser.get(reverse("admin:playground_settled", args=[flying.pk])).status_code == 202


def test_a_server_that_makes_no_calls_says_so(browser: Client, team: Team) -> None:
    response = browser.post(SEND, asked(team))

    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "This server makes no calls" in response.content.decode()
    assert not ModelCall.objects.exists()


def test_what_cannot_be_sent_says_why_in_an_event(browser: Client, team: Team) -> None:
    said = browser.post(SEND, asked(team, prompt="")).content.decode()

    assert said.startswith("event: refused\n")
    assert "Write what the model is to be asked." in said


def test_sending_wants_the_forms_token(administrator: User, team: Team) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(administrator)

    for address in (SEND, EXPLAIN, CODE, ADD):
        assert strict.post(address, asked(team)).status_code == 403, address


def test_a_prompt_becomes_a_schedule_word_for_word(browser: Client, team: Team) -> None:
    prompt = "What is {{ job }}, {% if %} and {# this #}?\n{{{%"
    sent = asked(
        team,
        model="small",
        prompt=prompt,
        system_prompt="Be {{ brief }}.",
        task_class="auxiliary_summary",
        routing_mode="dry_run",
    )

    page = browser.post(ADD, {**sent, "max_output_tokens": "321", "_draft": "yes"})
    form = filled(page.content.decode(), "cronjob_form")

    assert (form["team"], form["model"], form["max_output_tokens"]) == (
        str(team.pk),
        "small",
        "321",
    )
    assert (form["task_class"], form["routing_mode"]) == ("auxiliary_summary", "dry_run")
    assert not CronJob.objects.exists()
    assert "_draft" not in form
    saved = browser.post(
        ADD,
        {**form, "name": "Tried", "schedule_kind": "cron", "cron": "0 9 * * *", "zone": "UTC"},
    )
    assert saved.status_code == 302
    job = CronJob.objects.get()
    assert job.routing_mode == "dry_run"
    address = reverse("admin:scheduling_cronjob_try", args=[job.pk])
    rehearsed = browser.post(address, {"parameters": ""}).context["rehearsal"]
    assert rehearsed.faults == ()
    assert rehearsed.prompt == prompt
    assert rehearsed.system_prompt == "Be {{ brief }}."


def test_what_is_tried_interactively_is_scheduled_as_schedules_are(
    browser: Client, team: Team
) -> None:
    page = browser.post(ADD, {**asked(team), "_draft": "yes"})

    assert filled(page.content.decode(), "cronjob_form")["task_class"] == "background_automation"


@pytest.mark.parametrize("address", ["/admin/logout/", "/account/sign-out/", "/team/sign-out/"])
def test_every_way_out_forgets_what_was_filled_in(browser: Client, address: str) -> None:
    left = browser.post(address, follow=True)

    # Without an address to go back to, by which the script knows a session that only ran out.
    assert left.redirect_chain[-1][0] == "/account/sign-in/"
    assert "palyra/signed-out." in left.content.decode()


@pytest.mark.parametrize("address", [SEND, EXPLAIN, CODE])
def test_what_is_for_posting_is_not_for_reading(browser: Client, address: str) -> None:
    assert browser.get(address).status_code == 405


def make_call(team: Team, user: User | None = None) -> ModelCall:
    """A call from the console that is over."""
    return ModelCall.objects.create(
        team=team,
        user=user,
        surface=Surface.CONSOLE,
        status=CallStatus.SUCCEEDED,
        provider="acme",
        model="large",
        admitted_at=timezone.now(),
        settled_at=timezone.now(),
    )


def test_a_draft_is_for_whoever_may_schedule(team: Team) -> None:
    sender = signed_in(staff("sender", "governance.use_playground"))

    assert "Make this a schedule" not in sender.get(PAGE).content.decode()
    assert sender.post(ADD, {**asked(team), "_draft": "yes"}).status_code == 403


def _queries(work: Any) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        work()
    return len(captured)


@pytest.mark.every_database
def test_the_number_of_queries_does_not_grow(browser: Client, team: Team) -> None:
    def look() -> tuple[int, int]:
        return (
            _queries(lambda: browser.get(PAGE)),
            _queries(lambda: browser.post(EXPLAIN, asked(team))),
        )

    look()
    before = look()
    for number in range(4):
        make_team()
        make_price(make_model(provider=make_provider(name=f"more-{number}")))

    assert look() == before
    assert before[0] <= 20
    assert before[1] <= 25
