"""What the console does with a scheduled prompt: run it, try it, pause and resume it, and decide on
the times it missed. `CronJobAdmin` inherits and offers all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from providers.admin.actions import ObjectAction, object_action
from providers.admin.base import ObjectLink
from scheduling import handling, jobs, trials
from scheduling.forms import ParametersForm, PauseForm
from scheduling.models import CronJob
from scheduling.policy_words import DECISIONS
from scheduling.run_story import decided, reviewable

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

REVIEWS = ("skip_missed", "run_missed_once", "replay_missed")
TRY = {"icon": "science", "label": "Try it without spending"}
SAYS = {decision: says for decision, _, says in DECISIONS}


def _has_missed(job: CronJob) -> bool:
    return reviewable(job) is not None


class JobOperations(Base):
    """Mixed into the console's page of a scheduled prompt."""

    change_form_outer_before_template = "admin/scheduling/cronjob/before.html"

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/try/",
            self.admin_site.admin_view(self.try_view),
            name="scheduling_cronjob_try",
        )
        return [own, *super().get_urls()]

    def render_change_form(  # noqa: PLR0917 - Django's own signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None:
            offered = context.get("object_actions", [])
            context["object_actions"] = [one for one in offered if not _decides(one)]
            context["decisions"] = [one for one in offered if _decides(one)]
            context["review"] = reviewable(obj)
            if self.has_run_permission(request, obj):
                address = reverse("admin:scheduling_cronjob_try", args=[quote(obj.pk)])
                tried = ObjectLink(address=address, **TRY)
                context["object_links"] = [tried, *context.get("object_links", [])]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def has_run_permission(self, request: HttpRequest, obj: CronJob | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def form_of_action(self, action: ObjectAction, obj: CronJob) -> forms.Form:
        if action.form_class is ParametersForm:
            return ParametersForm(prefix=action.name, label_suffix="", job=obj)
        return super().form_of_action(action, obj)

    @object_action(
        label="Run now",
        permission="run",
        icon="play_arrow",
        consequence="Runs the prompt once, now, on the team's budget. The schedule stays as it is.",
        tone="primary",
        form_class=ParametersForm,
    )
    def run_now(self, _request: HttpRequest, job: CronJob, data: dict[str, Any]) -> str:
        run = handling.run_now(job, now=timezone.now(), parameters=data["parameters"])
        return f"“{job}” is queued to run now: {run}."

    @object_action(
        label="Pause",
        permission="change",
        icon="pause",
        consequence="It will not run until it is resumed; times passed meanwhile are not made up.",
        form_class=PauseForm,
        applies=lambda job: job.enabled,
    )
    def pause(self, _request: HttpRequest, job: CronJob, data: dict[str, Any]) -> str:
        jobs.pause(job, reason=data["reason"], now=timezone.now())
        return f"“{job}” is paused: {data['reason']}"

    @object_action(
        label="Resume",
        permission="change",
        icon="play_circle",
        applies=lambda job: not job.enabled,
    )
    def resume(self, _request: HttpRequest, job: CronJob, _data: Any) -> str:
        jobs.resume(job, now=timezone.now())
        return f"“{job}” runs again, from now on."

    @object_action(
        label="Skip them",
        permission="change",
        icon="skip_next",
        consequence=SAYS[handling.SKIP],
        applies=_has_missed,
    )
    def skip_missed(self, _request: HttpRequest, job: CronJob, _data: Any) -> str:
        return _review(job, handling.SKIP)

    @object_action(
        label="Run once",
        permission="change",
        icon="play_arrow",
        consequence=SAYS[handling.RUN_ONCE],
        applies=_has_missed,
    )
    def run_missed_once(self, _request: HttpRequest, job: CronJob, _data: Any) -> str:
        return _review(job, handling.RUN_ONCE)

    @object_action(
        label="Replay all",
        permission="change",
        icon="replay",
        consequence=SAYS[handling.REPLAY_ALL],
        applies=_has_missed,
    )
    def replay_missed(self, _request: HttpRequest, job: CronJob, _data: Any) -> str:
        return _review(job, handling.REPLAY_ALL)

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def try_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What would be sent now, with a rehearsed answer: nothing is sent and nothing spent."""
        job = self.get_object(request, unquote(object_id))
        if job is None or not self.has_run_permission(request, job):
            raise PermissionDenied
        sent = request.POST if request.method == "POST" else None
        form = ParametersForm(sent, job=job, label_suffix="")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Try “{job}”",
            "original": job,
            "job": job,
            "form": form,
            "run_address": reverse(self._address("do"), args=[quote(job.pk), "run_now"]),
        }
        if request.method == "POST" and form.is_valid():
            parameters = form.cleaned_data["parameters"]
            context["rehearsal"] = trials.rehearse(job, parameters or {}, timezone.now())
        return TemplateResponse(request, "admin/scheduling/cronjob/try.html", context)


def _decides(offered: dict[str, Any]) -> bool:
    return offered["action"].name in REVIEWS


def _review(job: CronJob, decision: str) -> str:
    return decided(decision, handling.review(job, decision=decision, now=timezone.now()))
