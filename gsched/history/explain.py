"""Explains how an instant of a job ended, and why. It distinguishes recorded outcomes from inferred ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from itertools import islice

from gsched.history.explanation import (
    NEVER_BEFORE,
    Explanation,
    Question,
    at,
    between,
    by_node,
    duration,
    history_option,
    kept_successes,
    lateness_words,
    recent_words,
    recorded,
    say,
    why_full,
)
from gsched.history.queries import RUNNING, RunInfo
from gsched.history.recent import RecentOutcome
from gsched.jobs.document import UnreadableTrigger
from gsched.jobs.job import Job
from gsched.jobs.outcomes import Outcome
from gsched.jobs.pause import Pause
from gsched.jobs.policy import CANCEL, SKIP
from gsched.times.instants import from_ms, to_ms
from gsched.triggers.base import TRIGGER_ERRORS

_FIRST_STEP_MS = 1000  # the first step back in the search for an earlier due instant
_RECORDED_MS = 10_000  # a run that has been in progress for so long has a record


def explain(question: Question) -> Explanation:
    """How the instant ended, and whether its job is overdue, or its run slow."""
    found = _explain(question)
    return replace(found, sentence=" ".join([found.sentence, *lateness_words(question, found.outcome)]))


def _explain(question: Question) -> Explanation:
    job, instant = question.job, question.instant
    exact = [r for r in question.records if r.until is None and to_ms(r.scheduled_at) == instant and r.request is None]
    # "Lost" stands for uncertain instants: another record of the same instant is certain, and comes first.
    spans = [r for r in question.records if r.until is not None]
    spans.sort(key=lambda record: record.outcome == Outcome.LOST)
    if exact:
        return _beside_others(question, recorded(question, max(exact, key=lambda record: record.attempt)))
    if job is None:
        return recorded(question, spans[0]) if spans else _gone(question)
    if isinstance(job.trigger, UnreadableTrigger):
        return recorded(question, spans[0]) if spans else _unreadable(question, job)
    try:
        return _explain_by_trigger(question, job, spans)
    except TRIGGER_ERRORS as error:
        return say(question, "unknown", f"there is no record, and its trigger raised {error!r}.")


def _unreadable(question: Question, job: Job) -> Explanation:
    return say(
        question, "parked",
        f"the job is parked now ({job.parked}), and there is no record: it is not known whether it was due.",
    )  # fmt: skip


def _explain_by_trigger(question: Question, job: Job, spans: Sequence[RunInfo]) -> Explanation:
    evidence, instant = question.evidence, question.instant
    before, after = _neighbours(job, instant, evidence.begins)
    due = instant in (job.next_run_ms, evidence.begins) or job.next_ms(instant - 1) == instant
    changed_since = evidence.changed is not None and evidence.changed > instant
    if spans and (due or changed_since):
        found = recorded(question, spans[0])
    elif due and job.pause is not None and _falls_into(job.pause, instant):
        found = _recent_outcome(question, job) or _paused(question, job.pause)
    elif evidence.added is not None and instant < evidence.added and not (due and 0 <= evidence.begins <= instant):
        found = say(question, "not_due", f"not due: the job was added later, at {at(question, evidence.added)}.")
    elif changed_since and not due:
        found = say(
            question, "not_due",
            f"not due by its trigger as it is now, and there is no record; but the job was changed later, at "
            f"{at(question, evidence.changed)}, and what was due before that is not known.",
        )  # fmt: skip
    elif not due or (instant < evidence.begins and not changed_since):
        first = f" Its first due instant was set to {at(question, evidence.begins)}." if due else ""
        found = say(question, "not_due", f"not due{between(question, before, after)}.{first}")
    else:
        found = _due(question, job)
    return _beside(job, found, before, after)


def _beside_others(question: Question, found: Explanation) -> Explanation:
    """The explanation with the due instants beside it since the job was added, if the trigger can give them."""
    job, added = question.job, question.evidence.added
    if job is None or isinstance(job.trigger, UnreadableTrigger):
        return found
    try:
        return _beside(job, found, *_neighbours(job, question.instant, NEVER_BEFORE if added is None else added))
    except TRIGGER_ERRORS:
        return found


def _beside(job: Job, found: Explanation, before: int | None, after: int | None) -> Explanation:
    zone = job.trigger.timezone
    return replace(
        found,
        before=None if before is None else from_ms(before, zone),
        after=None if after is None else from_ms(after, zone),
    )


def _due(question: Question, job: Job) -> Explanation:
    """Explain an instant that is due by the trigger and has no record."""
    evidence, instant = question.evidence, question.instant
    if (found := _recent_outcome(question, job)) is not None:
        return found
    if job.paused and job.pause is not None:
        return _paused(question, job.pause)
    if evidence.parked is not None:
        return say(
            question, "parked",
            f"the job is parked now ({evidence.parked}), and there is no record. What fell due while it was parked "
            "waits, and is late once it is healed.",
        )  # fmt: skip
    if instant > question.now:
        return say(question, "upcoming", f"due in {duration((instant - question.now) / 1000)}: it is still to come.")
    if instant >= evidence.decided:
        return _waiting(question, job)
    if instant >= evidence.ended:
        if _may_wait(job) and why_full(question) is not None:
            return _waiting(question, job)
        if question.turn is not None and question.now - instant > _RECORDED_MS:
            return _waiting(question, job)
        may_wait = "waits for a free instance, " if _may_wait(job) else ""
        if question.turn is not None:
            may_wait += f"waits for its turn ({question.turn}), "
        return say(
            question, RUNNING,
            f"it was claimed{by_node(evidence)} and has no record yet: it is in progress, {may_wait}or ended a moment "
            "ago.",
        )  # fmt: skip
    return _ended(question, job)


def _recent_outcome(question: Question, job: Job) -> Explanation | None:
    found = _recent(question, job)
    if found is None:
        return None
    return replace(say(question, found.outcome, recent_words(found, len(question.recent))), recorded=True)


def _recent(question: Question, job: Job) -> RecentOutcome | None:
    """The outcome of the instant from the list of the job's last outcomes. That list has whole seconds.

    If the job was due several times in that second, all of these have to be there and have to be alike; otherwise None.
    """
    second = question.instant // 1000
    found = [each for each in question.recent if to_ms(each.scheduled_at) // 1000 == second]
    if len({each.outcome for each in found}) != 1:
        return None
    first = job.next_ms(second * 1000 - 1)
    due = () if first is None else islice(job.instants(first), len(found) + 1)
    expected = sum(instant // 1000 == second for instant in due)
    return found[-1] if expected <= len(found) else None


def _falls_into(pause: Pause, instant: int) -> bool:
    return pause.at_ms is not None and pause.at_ms <= instant and pause.holds(instant)


def _paused(question: Question, pause: Pause) -> Explanation:
    changed = question.evidence.changed
    if question.instant > question.now:
        words = f"the job is {_words_of(question, pause)}; it will not run then unless it is resumed before."
        return say(question, "paused", words)
    if _falls_into(pause, question.instant):
        since = at(question, pause.at_ms)
        return say(question, "paused", f"not run: {_words_of(question, pause)} (since {since}).")
    if changed is not None and question.instant >= changed:
        return say(question, "paused", f"not run: the job has been paused since {at(question, changed)} at the latest.")
    return say(
        question, "unknown",
        f"there is no record. The job is paused, since {at(question, changed)} at the latest; if it ran then, it ended "
        f"without complaint; {kept_successes(question.evidence)}.",
    )  # fmt: skip


def _words_of(question: Question, pause: Pause) -> str:
    return pause.words(UTC if question.job is None else question.job.trigger.timezone)


def _may_wait(job: Job) -> bool:
    """True if an instant of the job may wait for the end of a run."""
    return job.policy.overlap != SKIP or not job.coalesce


def _waiting(question: Question, job: Job) -> Explanation:
    late = question.now - question.instant
    full = why_full(question)
    why = full or question.turn or question.evidence.obstacle or "no worker has begun it yet"
    if full is not None and job.policy.overlap == CANCEL:
        why += ", which is being stopped for it"
    waits = "waiting for its turn" if full is None and question.turn is not None else "waiting to run"
    words = f"due {duration(late / 1000)} ago, and {waits}: {why}."
    if (full or question.turn) is not None and job.coalesce:
        words += " Of the instants that wait, the last one will run, and the others will be coalesced into it."
    if job.misfire_grace_ms is not None and late > job.misfire_grace_ms:
        grace = duration(job.misfire_grace_ms / 1000)
        words += f" It is later than misfire_grace_time ({grace}), so it will be missed."
    return say(question, "waiting", words)


def _ended(question: Question, job: Job) -> Explanation:
    """Explain an instant that was claimed, has ended and has no record."""
    evidence = question.evidence
    if question.instant < evidence.since:
        return say(question, "unknown", f"no record: the history reaches back to {at(question, evidence.since)} only.")
    if evidence.successes == "all":
        return say(
            question, "unknown",
            f"it was claimed{by_node(evidence)} and is over, but has no record, although all is kept "
            f"({history_option(evidence)}): the record was not written, or was not kept at that time.",
        )  # fmt: skip
    why = f"no record: {kept_successes(evidence)}"
    into, because = _coalesced_into(question, job)
    if into is not None:
        inferred = f"coalesced into the run of {at(question, into)}, for {because}"
        return say(question, "coalesced", f"{why}. Inferred: {inferred}.")
    last_run = None if question.counters is None else question.counters.last_run
    if question.counters is not None and (last_run is None or to_ms(last_run) < question.instant):
        return say(
            question, "unknown",
            f"{why}, nor is there one of anything else, and no run of the job has started since: it was not due yet "
            "then, or what became of it was not written.",
        )  # fmt: skip
    if _may_have_rested(question, job):
        return say(
            question, "unknown",
            f"{why}. If it ran then, it ended without complaint; but the job was changed later, at "
            f"{at(question, evidence.changed)}, and may have been paused, or due at other times, before that.",
        )  # fmt: skip
    or_else = ", or was coalesced into a later instant's run" if job.coalesce else ""
    return say(
        question, "succeeded",
        f"{why}. Inferred: it was claimed{by_node(evidence)}{_as_late(question)} and ended without complaint, so it "
        f"succeeded{or_else}.",
    )  # fmt: skip


def _may_have_rested(question: Question, job: Job) -> bool:
    """True if the job may not have been due at the instant, because it was changed later."""
    evidence, instant = question.evidence, question.instant
    if evidence.changed is None or evidence.changed <= instant or evidence.steady <= instant:
        return False
    if question.counters is None or question.counters.last_run is None:
        return True
    last_run, after = to_ms(question.counters.last_run), job.next_ms(instant)
    return last_run < instant or (after is not None and last_run >= after)


def _coalesced_into(question: Question, job: Job) -> tuple[int | None, str]:
    """The instant that ran for this one, if the evidence shows it, and the evidence in words."""
    if not job.coalesce:
        return None, ""
    until, because = max(_late_until(question), default=(NEVER_BEFORE, ""))
    if until > question.instant and (into := job.last_ms(question.instant, until)) > question.instant:
        return into, because
    for span in question.missed:
        # Missed instants are decided misfire_grace_time after their end, and later instants at the same moment.
        if span.until is not None and job.misfire_grace_ms is not None and to_ms(span.until) <= question.instant:
            into = job.last_ms(question.instant, max(question.instant, to_ms(span.until) + job.misfire_grace_ms))
            if into > question.instant:
                missed = at(question, to_ms(span.scheduled_at))
                return into, f"it was late together with what was missed just before (from {missed})"
    return None, ""


def _late_until(question: Question) -> Iterator[tuple[int, str]]:
    """The times until which no node can have decided about the instant, with the reasons."""
    added, away = question.evidence.added, question.evidence.away
    if away is not None:
        yield away, f"no node ran jobs then, until {at(question, away)}"
    if added is not None:
        yield added, f"the job was added at {at(question, added)} only, with an earlier next run time"


def _as_late(question: Question) -> str:
    added = question.evidence.added
    if added is None or added <= question.instant:
        return ""
    return f", late, for the job was added at {at(question, added)} only, with an earlier next run time,"


def _gone(question: Question) -> Explanation:
    return say(
        question, "unknown",
        "there is no such job now, and no record of that instant: the job was removed or has ended; "
        f"{kept_successes(question.evidence)}.",
    )  # fmt: skip


def _neighbours(job: Job, instant: int, begins: int) -> tuple[int | None, int | None]:
    """The last due instant before this one and the first after it. As the job is now, none is due before `begins`."""
    own = job.next_run_ms  # the user may have set an instant that the trigger does not have
    after = job.next_ms(max(instant, begins - 1))
    if own is not None and own > instant and (after is None or own < after):
        after = own
    step, before = _FIRST_STEP_MS, None
    while before is None and step <= 2 * (instant + _FIRST_STEP_MS):
        first = job.next_ms(max(instant - step, NEVER_BEFORE))
        if first is not None and first < instant:
            before = job.last_ms(first, instant - 1)
        step *= 4
    before = None if before is not None and before < begins else before
    if own is not None and own < instant and (before is None or own > before):
        before = own
    return before, after
