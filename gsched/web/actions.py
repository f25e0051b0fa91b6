"""What the API does on POST and PATCH: each method is one path. Each change is in the audit, with the user's name."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gsched.errors import GschedError, JobNotFoundError
from gsched.event_loop.beside import run_beside
from gsched.events import JobEvent, paused_event
from gsched.jobs.audit import Act
from gsched.jobs.export import from_json
from gsched.jobs.job import Job
from gsched.schedulers.acting import act
from gsched.schedulers.engine import CHANGED_AT_ONCE, modified_event
from gsched.schedulers.handle import JobHandle
from gsched.schedulers.verbs.change import modified
from gsched.schedulers.verbs.pause import Pausing, Resuming
from gsched.web.answers import ApiAnswers, json_text, shown_arguments, stored_arguments
from gsched.web.chosen import ChosenJobs, chosen_jobs
from gsched.web.redaction import unmasked
from gsched.web.refusals import RequestRefused, invalid, refused_by
from gsched.web.trouble import log_failure

if TYPE_CHECKING:
    from gsched.web.asking import Ask, Served
    from gsched.web.feed import Feed

MOST_AT_ONCE: Final = CHANGED_AT_ONCE  # jobs; an action on more goes on beside the answer
MOST_RUN: Final = 500  # jobs that one request runs
_MOST_ACTIONS: Final = 4  # that go on at once
_MOST_FAILED: Final = 100  # that an answer names
_SHOWN_NEXT: Final = 5
_A_MOMENT_MS: Final = 5000

class ApiActions:
    """Changes jobs, runs and nodes on behalf of users.

    :param changed: called after each change, so that no old answer is given
    """

    def __init__(self, served: Served, answers: ApiAnswers, feed: Feed, changed: Callable[[], None]) -> None:
        self._served = served
        self._scheduler = served.scheduler
        self._answers = answers
        self._feed = feed
        self._changed = changed
        self._going_on = 0

    # -- jobs -----------------------------------------------------------------------------------------------------

    def run(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Run jobs once, now. A repeated request with the same Idempotency-Key runs none a second time."""
        dry_run = ask.body.flag("dry_run")
        reason, jobs = self._chosen(ask, dry_run=dry_run)
        matched = len(jobs.job_ids)
        if dry_run:
            return 200, {"matched": matched, "runs": [], "failed": []}
        if matched > MOST_RUN:
            raise invalid(f"at most {MOST_RUN} jobs run at once, not {matched}", "choose fewer")
        key = ask.request.headers.get("Idempotency-Key") or uuid.uuid4().hex
        runs, failed = [], []
        with ask.acting(reason):
            for job_id in jobs.job_ids:
                try:
                    run_id = self._scheduler.run_job(job_id, jobs.jobstore, request=_request(ask, key, job_id))
                except GschedError as error:
                    if matched == 1:
                        raise
                    failed.append(_failed(job_id, error))
                else:
                    runs.append({"job_id": job_id, "run_id": run_id})
        self._changed()
        return 202, {"matched": matched, "runs": runs, "failed": failed[:_MOST_FAILED]}

    def pause(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Pause jobs."""
        until, dry_run = ask.body.text("until"), ask.body.flag("dry_run")
        reason, jobs = self._chosen(ask, dry_run=dry_run)
        if reason is None and len(jobs.job_ids) > 1 and not dry_run:
            raise invalid("reason: several jobs need one", "say why: the reason is shown with each of them")

        def pause() -> Iterator[str]:
            pausing = Pausing.wanted_of(self._served.engine, reason, until, None)
            change = pausing.change if len(jobs.job_ids) == 1 else pausing.change_if_shorter
            return self._change(jobs, change, paused_event, pausing.act)

        return self._act(ask, "pause", reason, jobs, pause, dry_run)

    def resume(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Resume jobs."""
        dry_run = ask.body.flag("dry_run")
        reason, jobs = self._chosen(ask, dry_run=dry_run)

        def resume() -> Iterator[str]:
            resuming = Resuming(self._served.now(), None)
            return self._change(jobs, resuming.change_if_held, resuming.event, resuming.act)

        return self._act(ask, "resume", reason, jobs, resume, dry_run)

    def remove(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Remove jobs."""
        dry_run = ask.body.flag("dry_run")
        reason, jobs = self._chosen(ask, dry_run=dry_run)

        def remove() -> Iterator[str]:
            for job_id in jobs.job_ids:
                with suppress(JobNotFoundError):
                    self._scheduler.remove_job(job_id, jobs.jobstore)
                    yield job_id

        return self._act(ask, "remove", reason, jobs, remove, dry_run)

    def edit(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Change one job, if it is as the user has seen it; or only tell what the change would be."""
        job_id, jobstore, only_check = ask.query.needed("id"), ask.query.text("jobstore"), ask.query.flag("check")
        reason, changes = ask.body.text("reason"), ask.body.rest()
        ask.check_all_taken()
        seen = ask.request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
        if not seen and not only_check:
            raise RequestRefused(
                428, "precondition_required", "the change does not say which state of the job it is for",
                "send If-Match with the job's rev",
            )  # fmt: skip
        if not changes:
            raise invalid("there is nothing to change", "name an option: timeout, trigger, tags ...")

        def change(job: Job) -> Job:
            if seen and str(job.rev) != seen:
                raise RequestRefused(
                    409, "conflict", f"somebody has changed the job since: its rev is {job.rev}, not {seen}",
                    "read the job again, and repeat the change if it is still meant", known={"rev": str(job.rev)},
                )  # fmt: skip
            return modified(self._served.engine, job, self._meant(ask, job, changes))

        engine = self._served.engine
        if only_check:
            job = change(engine.call(engine.find, job_id, jobstore))
            words = {"trigger": str(job.trigger), "schedule": job.trigger.in_words()}
            is_late = "next_run_time" in changes and _is_past(job, self._served.now())
            return 200, {"valid": True, **words, "late": is_late, "next": self._answers.next_times(job, _SHOWN_NEXT)}
        with ask.acting(reason):
            done = act("job.change", self._served.now())
            engine.change_job(job_id, change, jobstore, modified_event, done)
        self._changed()
        return 200, self._answers.whole_job(ask, job_id, jobstore)

    def _meant(self, ask: Ask, job: Job, changes: dict[str, Any]) -> dict[str, Any]:
        """The changes as `modify_job` takes them. Arguments are JSON text; what is masked in them stays."""
        meant = dict(changes)
        shown = shown_arguments(ask, JobHandle(self._scheduler, self._served.engine, job))
        stored = stored_arguments(job)
        for name in shown.keys() & changes.keys():
            if not isinstance(changes[name], str):
                raise invalid(f"{name}: expected JSON text, got {changes[name]!r}", 'write it as a text: "[1, 2]"')
            if changes[name] == json_text(shown[name]):
                del meant[name]
                continue
            try:
                given = json.loads(changes[name])
                if type(given) is not type(stored[name]):  # a list could be made of an object: its keys
                    raise ValueError(f"expected a JSON {'list' if name == 'args' else 'object'}")
                meant[name] = from_json(unmasked(given, shown[name], stored[name]))
            except (ValueError, TypeError, RecursionError) as error:
                raise invalid(f"{name}: {error}") from None
        for name in ("id", "jobstore", "func"):
            if name in meant:
                raise invalid(f"{name}: it cannot be changed here", "let the application replace the job")
        return meant

    # -- runs and nodes -------------------------------------------------------------------------------------------

    def cancel(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Cancel a run, in whatever process it is."""
        run_id, jobstore, reason = ask.body.needed("id"), ask.body.text("jobstore"), ask.body.text("reason")
        ask.check_all_taken()
        with ask.acting(reason):
            found = self._scheduler.admin.request_cancel(run_id, jobstore)
        if not found:
            raise RequestRefused(
                404, "not_found", f"no run {run_id!r} is known to be in progress",
                "it may have ended; runs of other processes are known after some seconds",
            )  # fmt: skip
        self._changed()
        return 202, {"run_id": run_id}

    def drain(self, ask: Ask) -> tuple[int, dict[str, Any]]:
        """Ask a node to hand its jobs over, finish its runs, and end."""
        node_id, jobstore, reason = ask.body.needed("id"), ask.body.text("jobstore"), ask.body.text("reason")
        ask.check_all_taken()
        with ask.acting(reason):
            node = self._scheduler.admin.drain_node(node_id, jobstore)
        self._changed()
        return 202, {"id": node.id, "state": node.state}

    # -- many jobs ------------------------------------------------------------------------------------------------

    def _chosen(self, ask: Ask, *, dry_run: bool = False) -> tuple[str | None, ChosenJobs]:
        """The reason, and the jobs. All parameters have been taken then."""
        reason = ask.body.text("reason") or None
        jobs = chosen_jobs(self._scheduler, ask.body, dry_run=dry_run)
        ask.check_all_taken()
        return reason, jobs

    def _change(
        self,
        jobs: ChosenJobs,
        change: Callable[[Job], Job | None],
        event: Callable[[Job], JobEvent],
        done: Act | None,
    ) -> Iterator[str]:
        """Change the jobs, hundreds in a round trip, and give the ids of those that were changed."""
        found = self._served.engine.change_jobs(jobs.job_ids, change, jobs.jobstore, event, done, jobs.words)
        return (job.id for job in found)

    def _act(
        self,
        ask: Ask,
        verb: str,
        reason: str | None,
        jobs: ChosenJobs,
        act_on: Callable[[], Iterator[str]],
        dry_run: bool,
    ) -> tuple[int, dict[str, Any]]:
        """Act on all of the jobs: before the answer, or beside it if they are many.

        :param act_on: gives the ids of the jobs that it has changed, as they are changed
        """
        matched = len(jobs.job_ids)
        if dry_run:
            return 200, {"matched": matched, "changed": 0, "failed": []}
        if matched > MOST_AT_ONCE:
            return 202, {"matched": matched, "action": self._begin(ask, verb, reason, matched, act_on)}
        with ask.acting(reason):
            changed = set(act_on())
        self._changed()
        left = [job_id for job_id in jobs.job_ids if job_id not in changed]
        there = self._scheduler.admin.rows(left, jobs.jobstore) if left else {}
        missing = [JobNotFoundError(job_id) for job_id in left if job_id not in there and verb != "remove"]
        if missing and matched == 1:
            raise missing[0]
        failed = [_failed(error.job_id, error) for error in missing[:_MOST_FAILED]]
        return 200, {"matched": matched, "changed": len(changed), "failed": failed}

    def _begin(
        self, ask: Ask, verb: str, reason: str | None, matched: int, act_on: Callable[[], Iterator[str]]
    ) -> str:
        """Act beside the answer. The feed tells how far it is; the id of these frames."""
        if self._going_on >= _MOST_ACTIONS:
            raise RequestRefused(
                503, "busy", f"{self._going_on} actions on many jobs go on already", "wait for the end of one",
                headers={"Retry-After": "10"},
            )  # fmt: skip
        self._going_on += 1
        action = uuid.uuid4().hex
        about = {"action": action, "verb": verb, "of": matched}

        def go() -> None:
            changed, error = 0, None
            try:
                with ask.acting(reason):
                    for changed, _ in enumerate(act_on(), 1):
                        if changed % MOST_AT_ONCE == 0:
                            self._feed.publish("action", {**about, "changed": changed, "is_over": False})
            except Exception as raised:
                refused = refused_by(raised)
                if refused is None:
                    log_failure(raised, ask.redaction.redact)
                error = ask.redaction.whole(str(refused or raised))
            finally:
                self._going_on -= 1
                self._changed()
                self._feed.publish("action", {**about, "changed": changed, "is_over": True, "error": error})

        run_beside(go)
        return action


def _request(ask: Ask, key: str, job_id: str) -> str:
    """The name of a run on request: the same for the same user, key and job."""
    return hashlib.sha256("\0".join((ask.user.name, key, job_id)).encode()).hexdigest()[:32]


def _is_past(job: Job, now: int) -> bool:
    """True if the job's next run time is past. A time that was "now" a moment ago is not."""
    return job.next_run_ms is not None and job.next_run_ms < now - _A_MOMENT_MS


def _failed(job_id: str, error: GschedError) -> dict[str, Any]:
    refused = refused_by(error)
    return {"id": job_id, "code": "failed" if refused is None else refused.code, "message": str(error)}
