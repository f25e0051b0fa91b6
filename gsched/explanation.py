"""Explanations: what became of an instant of a job, and why; told apart: what is recorded, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from gsched.document import UnreadableTrigger
from gsched.history import RUNNING, JobFigures, RunInfo
from gsched.instants import from_ms, to_ms
from gsched.job import Job
from gsched.run import Outcome
from gsched.triggers.base import TRIGGER_ERRORS

_FIRST_STEP_MS = 1000  # backwards, in looking for an earlier due instant
NEVER_BEFORE = -1


class Account(NamedTuple):
    """What a store knows of a job beside its definition and its records. Times are ms since the epoch.

    :ivar successes: which successes are recorded, as the option `history_successes` says
    :ivar since: what ended before may have been recorded, and the record be gone
    :ivar added: when the job was added
    :ivar changed: when somebody changed it last
    :ivar begins: nothing of it, as it is now, was due before
    :ivar steady: from then on it was due as it is now, though it was changed later: not paused, and at the same times
    :ivar decided: every due instant before this was claimed
    :ivar ended: of these, everything before this has ended, but for what is written down as in progress
    :ivar node: who claimed the instant asked about, or will
    :ivar parked: why it cannot be run by those who claim it
    :ivar away: nobody ran jobs at the instant asked about; somebody did from then on
    :ivar obstacle: why what is due may not be claimed at the moment
    """

    successes: str | int
    since: int
    added: int | None = None
    changed: int | None = None
    begins: int = NEVER_BEFORE
    steady: int = NEVER_BEFORE
    decided: int = NEVER_BEFORE
    ended: int = NEVER_BEFORE
    node: str | None = None
    parked: str | None = None
    away: int | None = None
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of an instant of a job. `str()` says it in words.

    :ivar instant: the instant, in the zone of the job's trigger
    :ivar outcome: one of `Outcome`; or "running", "waiting" (due, not begun), "upcoming", "not_due", "paused",
        "parked", "unknown"
    :ivar recorded: whether the outcome comes from a record; else it is inferred, and `sentence` says from what
    :ivar sentence: outcome and reason, in words
    :ivar record: the record, where there is one
    :ivar before: the due instant next before this one, as the trigger is now; None if there is none
    :ivar after: the due instant next after this one
    """

    job_id: str
    instant: datetime
    outcome: str
    recorded: bool
    sentence: str
    record: RunInfo | None = None
    before: datetime | None = None
    after: datetime | None = None

    def __str__(self) -> str:
        return f"{self.job_id} at {_show(self.instant)}: {self.sentence}"


class Case(NamedTuple):
    """All that is known for one question.

    :ivar job: None if there is no such job now
    :ivar records: of the job, those that touch the instant
    :ivar missed: of the job, instants that were missed shortly before
    :ivar figures: what the job did, None if nobody counted
    """

    job_id: str
    instant: int
    now: int
    job: Job | None
    account: Account
    records: Sequence[RunInfo]
    missed: Sequence[RunInfo] = ()
    figures: JobFigures | None = None


def explain(case: Case) -> Explanation:
    """What became of the instant."""
    job, instant = case.job, case.instant
    exact = [r for r in case.records if r.until is None and to_ms(r.scheduled_at) == instant and r.request is None]
    # "Lost" is said of what was uncertain: what else is on record of it is known.
    spans = sorted((r for r in case.records if r.until is not None), key=lambda record: record.outcome == Outcome.LOST)
    if exact:
        return _recorded(case, max(exact, key=lambda record: record.attempt))
    if job is None:
        return _recorded(case, spans[0]) if spans else _gone(case)
    if isinstance(job.trigger, UnreadableTrigger):
        return _recorded(case, spans[0]) if spans else _unreadable(case, job)
    try:
        return _explain_by_trigger(case, job, spans)
    except TRIGGER_ERRORS as error:
        return _say(case, "unknown", f"there is no record, and its trigger raised {error!r}.")


def _unreadable(case: Case, job: Job) -> Explanation:
    return _say(
        case, "parked",
        f"the job is parked now ({job.parked}), and there is no record: whether it was due, nobody can tell.",
    )  # fmt: skip


def _explain_by_trigger(case: Case, job: Job, spans: Sequence[RunInfo]) -> Explanation:
    account, instant = case.account, case.instant
    before, after = _neighbours(job, instant)
    due = instant in (job.next_run_ms, account.begins) or job.next_ms(instant - 1) == instant
    changed_since = account.changed is not None and account.changed > instant
    if spans and (due or changed_since):
        found = _recorded(case, spans[0])
    elif account.added is not None and instant < account.added and not (due and 0 <= account.begins <= instant):
        found = _say(case, "not_due", f"not due: the job was added later, at {_at(case, account.added)}.")
    elif changed_since and not due:
        found = _say(
            case, "not_due",
            f"not due by its trigger as it is now, and there is no record; but the job was changed later, at "
            f"{_at(case, account.changed)}, and what was due before that is not known.",
        )  # fmt: skip
    elif not due or (instant < account.begins and not changed_since):
        first = f" Its first due instant was set to {_at(case, account.begins)}." if due else ""
        found = _say(case, "not_due", f"not due{_between(case, before, after)}.{first}")
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
    if job.paused:
        return _paused(case)
    if account.parked is not None:
        return _say(
            case, "parked",
            f"the job is parked now ({account.parked}), and there is no record. What fell due while it was parked "
            "waits, and is late once it is healed.",
        )  # fmt: skip
    if instant > case.now:
        return _say(case, "upcoming", f"due in {_seconds((instant - case.now) / 1000)}: it is still to come.")
    if instant >= account.decided:
        return _waiting(case, job)
    if instant >= account.ended:
        return _say(
            case, RUNNING,
            f"it was claimed{_by(account)} and has no record yet: it is in progress, or ended a moment ago.",
        )  # fmt: skip
    return _ended(case, job)


def _paused(case: Case) -> Explanation:
    changed = case.account.changed
    if case.instant > case.now:
        return _say(case, "paused", "the job is paused; it will not run then unless it is resumed before.")
    if changed is not None and case.instant >= changed:
        return _say(case, "paused", f"not run: the job has been paused since {_at(case, changed)} at the latest.")
    return _say(
        case, "unknown",
        f"there is no record. The job is paused, since {_at(case, changed)} at the latest; if it ran then, it ended "
        f"without complaint; {_kept(case.account)}.",
    )  # fmt: skip


def _waiting(case: Case, job: Job) -> Explanation:
    late = case.now - case.instant
    said = f"due {_seconds(late / 1000)} ago, and waiting to run: {case.account.obstacle or 'nobody has begun it yet'}."
    if job.misfire_grace_ms is not None and late > job.misfire_grace_ms:
        said += f" It is later than misfire_grace_time ({_seconds(job.misfire_grace_ms / 1000)}), so it will be missed."
    return _say(case, "waiting", said)


def _ended(case: Case, job: Job) -> Explanation:
    """Of an instant that was claimed and is over, and has no record."""
    account = case.account
    if case.instant < account.since:
        return _say(case, "unknown", f"no record: the history reaches back to {_at(case, account.since)} only.")
    if account.successes == "all":
        return _say(
            case, "unknown",
            f"it was claimed{_by(account)} and is over, but has no record, although all is kept ({_option(account)}): "
            "the record was not written, or was not kept at that time.",
        )  # fmt: skip
    why = f"no record: {_kept(account)}"
    into, because = _coalesced_into(case, job)
    if into is not None:
        return _say(case, "coalesced", f"{why}. Inferred: coalesced into the run of {_at(case, into)}, for {because}.")
    last_run = None if case.figures is None else case.figures.last_run
    if case.figures is not None and (last_run is None or to_ms(last_run) < case.instant):
        return _say(
            case, "unknown",
            f"{why}, nor is there one of anything else, and no run of the job has started since: it was not due yet "
            "then, or what became of it was not written.",
        )  # fmt: skip
    if _may_have_rested(case, job):
        return _say(
            case, "unknown",
            f"{why}. If it ran then, it ended without complaint; but the job was changed later, at "
            f"{_at(case, account.changed)}, and may have been paused, or due at other times, before that.",
        )  # fmt: skip
    or_else = ", or was coalesced into a later instant's run" if job.coalesce else ""
    return _say(
        case, "succeeded",
        f"{why}. Inferred: it was claimed{_by(account)}{_as_late(case)} and ended without complaint, so it succeeded"
        f"{or_else}.",
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
                missed = _at(case, to_ms(span.scheduled_at))
                return into, f"it was late together with what was missed just before (from {missed})"
    return None, ""


def _late_until(case: Case) -> Iterator[tuple[int, str]]:
    """Until when nobody can have decided about the instant, and why."""
    added, away = case.account.added, case.account.away
    if away is not None:
        yield away, f"nobody ran jobs then, until {_at(case, away)}"
    if added is not None:
        yield added, f"the job was added at {_at(case, added)} only, with an earlier next run time"


def _as_late(case: Case) -> str:
    added = case.account.added
    if added is None or added <= case.instant:
        return ""
    return f", late, for the job was added at {_at(case, added)} only, with an earlier next run time,"


def _recorded(case: Case, record: RunInfo) -> Explanation:
    return replace(_say(case, record.outcome, _words(case, record) + "."), recorded=True, record=record)


def _words(case: Case, record: RunInfo) -> str:
    """What a record says."""
    words = [record.outcome.replace("_", " ")]
    if record.reason:
        words[0] += f" ({record.reason})"
    elif record.outcome in _MEANINGS:
        words[0] += f" ({_MEANINGS[record.outcome]})"
    if record.error_type:
        words[0] += f" with {record.error_type}: {record.error_message}"
    if record.started_at is not None:
        words.append(f"started {_seconds(record.lateness or 0.0)} late")
    if record.duration is not None:
        words.append(f"took {_seconds(record.duration)}")
    if record.attempt > 1:
        words.append(f"attempt {record.attempt}")
    if record.until is not None and _is_shared(case, to_ms(record.scheduled_at), to_ms(record.until)):
        first, end = (_at(case, to_ms(each)) for each in (record.scheduled_at, record.until))
        words.append(f"as everything due from {first} until before {end}")
    if record.node is not None:
        words.append(f"node {record.node}")
    return ", ".join(words)


def _is_shared(case: Case, first: int, end: int) -> bool:
    """Whether what is due from `first` until before `end` is more than this instant."""
    if case.job is None or first != case.instant:
        return end > first + 1
    following = case.job.next_ms(first)
    return following is not None and following < end


_MEANINGS = {
    "missed": "later than misfire_grace_time",
    "coalesced": "a later instant ran for it",
    "lost": "its node died while it was in progress",
}


def _gone(case: Case) -> Explanation:
    return _say(
        case, "unknown",
        "there is no such job now, and no record of that instant: the job was removed or has ended; "
        f"{_kept(case.account)}.",
    )  # fmt: skip


def _neighbours(job: Job, instant: int) -> tuple[int | None, int | None]:
    """The due instants next before and next after, as the trigger is now."""
    own = job.next_run_ms  # may be one that the trigger does not have
    after = job.next_ms(instant)
    if own is not None and own > instant and (after is None or own < after):
        after = own
    step, before = _FIRST_STEP_MS, None
    while before is None and step <= 2 * (instant + _FIRST_STEP_MS):
        first = job.next_ms(max(instant - step, NEVER_BEFORE))
        if first is not None and first < instant:
            before = job.last_ms(first, instant - 1)
        step *= 4
    if own is not None and own < instant and (before is None or own > before):
        before = own
    return before, after


def _say(case: Case, outcome: str, sentence: str) -> Explanation:
    zone = case.job.trigger.timezone if case.job is not None else None
    instant = from_ms(case.instant) if zone is None else from_ms(case.instant, zone)
    return Explanation(case.job_id, instant, outcome, False, sentence)


def _between(case: Case, before: int | None, after: int | None) -> str:
    said = []
    if before is not None:
        said.append(f"the due instant before it is {_at(case, before)}")
    said.append("none comes after it" if after is None else f"the next one is {_at(case, after)}")
    return ": " + ", ".join(said)


def _option(account: Account) -> str:
    return f"history_successes={account.successes!r}"


def _kept(account: Account) -> str:
    """Which successes have records."""
    if account.successes == "all":
        return f"successes are kept ({_option(account)})"
    return f"successes are not {'' if account.successes == 'none' else 'all '}kept ({_option(account)})"


def _by(account: Account) -> str:
    return "" if account.node is None else f" by node {account.node}"


def _at(case: Case, ms: int | None) -> str:
    if ms is None:
        return "an unknown time"
    return _show(from_ms(ms) if case.job is None else from_ms(ms, case.job.trigger.timezone))


def _show(instant: datetime) -> str:
    exact = "milliseconds" if instant.microsecond else "seconds"
    return instant.isoformat(" ", timespec=exact)


def _seconds(seconds: float) -> str:
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
