"""Explaining: what became of an instant of a job, and why; told apart: what is recorded, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from gsched.document import UnreadableTrigger
from gsched.explanation import (
    NEVER_BEFORE,
    Case,
    Explanation,
    at,
    between,
    by_node,
    duration,
    history_option,
    kept_successes,
    recent_words,
    recorded,
    say,
)
from gsched.history import RUNNING, RunInfo
from gsched.instants import from_ms, to_ms
from gsched.job import Job
from gsched.recent import RecentOutcome
from gsched.run import Outcome
from gsched.triggers.base import TRIGGER_ERRORS

_FIRST_STEP_MS = 1000  # backwards, in looking for an earlier due instant


def explain(case: Case) -> Explanation:
    """What became of the instant."""
    job, instant = case.job, case.instant
    exact = [r for r in case.records if r.until is None and to_ms(r.scheduled_at) == instant and r.request is None]
    # "Lost" is said of what was uncertain: what else is on record of it is known.
    spans = sorted((r for r in case.records if r.until is not None), key=lambda record: record.outcome == Outcome.LOST)
    if exact:
        return recorded(case, max(exact, key=lambda record: record.attempt))
    if job is None:
        return recorded(case, spans[0]) if spans else _gone(case)
    if isinstance(job.trigger, UnreadableTrigger):
        return recorded(case, spans[0]) if spans else _unreadable(case, job)
    try:
        return _explain_by_trigger(case, job, spans)
    except TRIGGER_ERRORS as error:
        return say(case, "unknown", f"there is no record, and its trigger raised {error!r}.")


def _unreadable(case: Case, job: Job) -> Explanation:
    return say(
        case, "parked",
        f"the job is parked now ({job.parked}), and there is no record: whether it was due, nobody can tell.",
    )  # fmt: skip


def _explain_by_trigger(case: Case, job: Job, spans: Sequence[RunInfo]) -> Explanation:
    account, instant = case.account, case.instant
    before, after = _neighbours(job, instant, account.begins)
    due = instant in (job.next_run_ms, account.begins) or job.next_ms(instant - 1) == instant
    changed_since = account.changed is not None and account.changed > instant
    if spans and (due or changed_since):
        found = recorded(case, spans[0])
    elif account.added is not None and instant < account.added and not (due and 0 <= account.begins <= instant):
        found = say(case, "not_due", f"not due: the job was added later, at {at(case, account.added)}.")
    elif changed_since and not due:
        found = say(
            case, "not_due",
            f"not due by its trigger as it is now, and there is no record; but the job was changed later, at "
            f"{at(case, account.changed)}, and what was due before that is not known.",
        )  # fmt: skip
    elif not due or (instant < account.begins and not changed_since):
        first = f" Its first due instant was set to {at(case, account.begins)}." if due else ""
        found = say(case, "not_due", f"not due{between(case, before, after)}.{first}")
    else:
        found = _due(case, job)
    zone = job.trigger.timezone
    return replace(
        found,
        before=None if before is None else from_ms(before, zone),
        after=None if after is None else from_ms(after, zone),
    )


def _due(case: Case, job: Job) -> Explanation:
    """Of an instant that is due by the trigger and has no record."""
    account, instant = case.account, case.instant
    if (found := _recent(case, job)) is not None:
        return replace(say(case, found.outcome, recent_words(found, len(case.recent))), recorded=True)
    if job.paused:
        return _paused(case)
    if account.parked is not None:
        return say(
            case, "parked",
            f"the job is parked now ({account.parked}), and there is no record. What fell due while it was parked "
            "waits, and is late once it is healed.",
        )  # fmt: skip
    if instant > case.now:
        return say(case, "upcoming", f"due in {duration((instant - case.now) / 1000)}: it is still to come.")
    if instant >= account.decided:
        return _waiting(case, job)
    if instant >= account.ended:
        return say(
            case, RUNNING,
            f"it was claimed{by_node(account)} and has no record yet: it is in progress, or ended a moment ago.",
        )  # fmt: skip
    return _ended(case, job)


def _recent(case: Case, job: Job) -> RecentOutcome | None:
    """The instant's among the job's last outcomes, which tell the second. If the job was due several times in that
    second, one stands for all that are alike; None if one is missing, or differs."""
    second = case.instant // 1000
    found = [each for each in case.recent if to_ms(each.scheduled_at) // 1000 == second]
    if len({each.outcome for each in found}) != 1:
        return None
    first = job.next_ms(second * 1000 - 1)
    due = () if first is None else islice(job.instants(first), len(found) + 1)
    expected = sum(instant // 1000 == second for instant in due)
    return found[-1] if expected <= len(found) else None


def _paused(case: Case) -> Explanation:
    changed = case.account.changed
    if case.instant > case.now:
        return say(case, "paused", "the job is paused; it will not run then unless it is resumed before.")
    if changed is not None and case.instant >= changed:
        return say(case, "paused", f"not run: the job has been paused since {at(case, changed)} at the latest.")
    return say(
        case, "unknown",
        f"there is no record. The job is paused, since {at(case, changed)} at the latest; if it ran then, it ended "
        f"without complaint; {kept_successes(case.account)}.",
    )  # fmt: skip


def _waiting(case: Case, job: Job) -> Explanation:
    late = case.now - case.instant
    said = f"due {duration(late / 1000)} ago, and waiting to run: {case.account.obstacle or 'nobody has begun it yet'}."
    if job.misfire_grace_ms is not None and late > job.misfire_grace_ms:
        said += f" It is later than misfire_grace_time ({duration(job.misfire_grace_ms / 1000)}), so it will be missed."
    return say(case, "waiting", said)


def _ended(case: Case, job: Job) -> Explanation:
    """Of an instant that was claimed and is over, and has no record."""
    account = case.account
    if case.instant < account.since:
        return say(case, "unknown", f"no record: the history reaches back to {at(case, account.since)} only.")
    if account.successes == "all":
        return say(
            case, "unknown",
            f"it was claimed{by_node(account)} and is over, but has no record, although all is kept "
            f"({history_option(account)}): the record was not written, or was not kept at that time.",
        )  # fmt: skip
    why = f"no record: {kept_successes(account)}"
    into, because = _coalesced_into(case, job)
    if into is not None:
        return say(case, "coalesced", f"{why}. Inferred: coalesced into the run of {at(case, into)}, for {because}.")
    last_run = None if case.figures is None else case.figures.last_run
    if case.figures is not None and (last_run is None or to_ms(last_run) < case.instant):
        return say(
            case, "unknown",
            f"{why}, nor is there one of anything else, and no run of the job has started since: it was not due yet "
            "then, or what became of it was not written.",
        )  # fmt: skip
    if _may_have_rested(case, job):
        return say(
            case, "unknown",
            f"{why}. If it ran then, it ended without complaint; but the job was changed later, at "
            f"{at(case, account.changed)}, and may have been paused, or due at other times, before that.",
        )  # fmt: skip
    or_else = ", or was coalesced into a later instant's run" if job.coalesce else ""
    return say(
        case, "succeeded",
        f"{why}. Inferred: it was claimed{by_node(account)}{_as_late(case)} and ended without complaint, so it "
        f"succeeded{or_else}.",
    )  # fmt: skip


def _may_have_rested(case: Case, job: Job) -> bool:
    """Whether the job may not have been due at the instant, because somebody changed it later."""
    account, instant = case.account, case.instant
    if account.changed is None or account.changed <= instant or account.steady <= instant:
        return False
    if case.figures is None or case.figures.last_run is None:
        return True
    last_run, after = to_ms(case.figures.last_run), job.next_ms(instant)
    return last_run < instant or (after is not None and last_run >= after)


def _coalesced_into(case: Case, job: Job) -> tuple[int | None, str]:
    """The instant that ran for this one, as far as that follows from what is known; and from what."""
    if not job.coalesce:
        return None, ""
    until, because = max(_late_until(case), default=(NEVER_BEFORE, ""))
    if until > case.instant and (into := job.last_ms(case.instant, until)) > case.instant:
        return into, because
    for span in case.missed:
        # What is missed is decided misfire_grace_time after its end, and what follows it at the same moment.
        if span.until is not None and job.misfire_grace_ms is not None and to_ms(span.until) <= case.instant:
            into = job.last_ms(case.instant, max(case.instant, to_ms(span.until) + job.misfire_grace_ms))
            if into > case.instant:
                missed = at(case, to_ms(span.scheduled_at))
                return into, f"it was late together with what was missed just before (from {missed})"
    return None, ""


def _late_until(case: Case) -> Iterator[tuple[int, str]]:
    """Until when nobody can have decided about the instant, and why."""
    added, away = case.account.added, case.account.away
    if away is not None:
        yield away, f"nobody ran jobs then, until {at(case, away)}"
    if added is not None:
        yield added, f"the job was added at {at(case, added)} only, with an earlier next run time"


def _as_late(case: Case) -> str:
    added = case.account.added
    if added is None or added <= case.instant:
        return ""
    return f", late, for the job was added at {at(case, added)} only, with an earlier next run time,"


def _gone(case: Case) -> Explanation:
    return say(
        case, "unknown",
        "there is no such job now, and no record of that instant: the job was removed or has ended; "
        f"{kept_successes(case.account)}.",
    )  # fmt: skip


def _neighbours(job: Job, instant: int, begins: int) -> tuple[int | None, int | None]:
    """The due instants next before and next after, as the job is now: nothing of it is due before `begins`."""
    own = job.next_run_ms  # may be one that the trigger does not have
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
