"""Messages: the texts for people and the objects for programs that are made from notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from gsched.masking import without_secrets
from gsched.notices.notice import (
    FAILED,
    LOST,
    NO_RUNNER,
    NODE_DIED,
    NOTIFIER_FAILED,
    OUTPUT,
    OVERDUE,
    PARKED,
    PAUSED,
    RECOVERED,
    STORE_AWAY,
    Notice,
)
from gsched.times.instants import from_ms
from gsched.wording import escaped, escaped_lines

TEST: Final = "test"
SUMMARY: Final = "summary"

_LONGEST_SUBJECT: Final = 200
_MOST_DETAILED: Final = 20  # notices that a summary lists
_FEW: Final = 3  # up to so many notices have a message each
_RUNS: Final = (FAILED, LOST, OUTPUT)
_SAID: Final[Mapping[str, str]] = {
    FAILED: "failed",
    LOST: "was lost",
    RECOVERED: "works again",
    OVERDUE: "is overdue",
    PAUSED: "was paused after too many failures",
    PARKED: "cannot be run",
    OUTPUT: "has printed something",
    NODE_DIED: "died",
    NO_RUNNER: "is alive",
    STORE_AWAY: "does not answer",
    NOTIFIER_FAILED: "does not get through",
}
_OF_SUMMARY: Final[Mapping[str, str]] = {
    FAILED: "failed",
    LOST: "lost",
    RECOVERED: "works again",
    OVERDUE: "overdue",
    PAUSED: "paused",
    PARKED: "cannot be run",
    OUTPUT: "with output",
    NODE_DIED: "nodes died",
    NO_RUNNER: "no runner",
    STORE_AWAY: "store away",
    NOTIFIER_FAILED: "notifiers failing",
}

Ask = Callable[[Notice], str | None]


@dataclass(frozen=True)
class Message:
    """A message to one notifier.

    :ivar notifier: the notifier's name
    :ivar scheduler: the name of the scheduler that sends the message
    :ivar event: the kind of the message's notice; "summary" if there are several notices, "test" if there is none
    :ivar subject: what happened, in one line
    :ivar text: the whole message
    :ivar url: the dashboard's page about it; None if the dashboard's address is not known
    :ivar notices: each notice as an object of JSON
    """

    notifier: str
    scheduler: str
    event: str
    subject: str
    text: str
    url: str | None = None
    notices: tuple[Mapping[str, Any], ...] = ()


def batches_of(due: Sequence[Notice], tokens: float) -> list[Sequence[Notice]]:
    """The notices of each message that is to be sent now: up to three notices have a message each, more have one.

    :param tokens: how many messages may be sent now; below 1, the answer is empty
    """
    if not due or tokens < 1:
        return []
    return [[notice] for notice in due] if len(due) <= min(_FEW, int(tokens)) else [due]


class Composer:
    """Writes messages.

    :param scheduler: the scheduler's name
    :param explain: gives in words how a notice's last run ended; None if that is not known
    :param output: gives what that run has printed; None if its output was not kept
    :param public_url: the address at which people reach the dashboard; None if there is none
    """

    def __init__(self, scheduler: str, explain: Ask, output: Ask, public_url: str | None) -> None:
        self._scheduler = scheduler
        self._explain = explain
        self._output = output
        self._public_url = None if public_url is None else public_url.rstrip("/")

    def compose(self, notices: Sequence[Notice]) -> Message:
        """The message about one notice, or about several."""
        explanations = [_masked(self._explain(notice)) for notice in notices[:_MOST_DETAILED]]
        output = _masked(self._output(notices[0])) if len(notices) == 1 else None
        notices = [replace(notice, text=without_secrets(notice.text)) for notice in notices]
        first = notices[0]
        told = [
            self._as_json(notice, explanations[place] if place < _MOST_DETAILED else None, output)
            for place, notice in enumerate(notices)
        ]
        if len(notices) == 1:
            said = first.kind, _line(_subject(first)), self._text(first, explanations[0], output), self._url(first)
        else:
            said = SUMMARY, _line(_subject_of_all(notices)), self._text_of_all(notices), self._public_url
        return Message(first.notifier, self._scheduler, *said, tuple(told))

    def test(self, notifier: str) -> Message:
        """A test message, which shows that messages get through."""
        subject = f"Test message to {notifier}"
        text = f"{subject}: messages of the scheduler {escaped(self._scheduler)} get through."
        return Message(notifier, self._scheduler, TEST, _line(subject), text, self._public_url)

    def _text(self, notice: Notice, explanation: str | None, output: str | None) -> str:
        lines = [f"{_subject(notice)}.", "", *_times(notice)]
        if explanation is not None:
            lines.append(escaped_lines(explanation))
        elif notice.text:
            lines.append(escaped_lines(_error(notice)))
        if output:
            lines += ["", escaped_lines(output.rstrip("\n"))]
        if (url := self._url(notice)) is not None:
            lines += ["", url]
        return "\n".join(lines)

    def _text_of_all(self, notices: Sequence[Notice]) -> str:
        lines = [f"{_subject_of_all(notices)}.", ""]
        for notice in notices[:_MOST_DETAILED]:
            lines.append(f"- {_subject(notice)}")
        if len(notices) > _MOST_DETAILED:
            lines.append(f"- and {len(notices) - _MOST_DETAILED} more")
        if self._public_url is not None:
            lines += ["", self._public_url]
        return "\n".join(lines)

    def _url(self, notice: Notice) -> str | None:
        if self._public_url is None or not notice.job_id:
            return self._public_url
        page, query = ("run", {"id": notice.run_id}) if notice.run_id else ("job", {"id": notice.job_id})
        if notice.jobstore not in ("", "default"):
            query["jobstore"] = notice.jobstore
        return f"{self._public_url}/{page}?{urlencode(query)}"

    def _as_json(self, notice: Notice, explanation: str | None, output: str | None) -> Mapping[str, Any]:
        is_error = notice.kind in (FAILED, LOST)
        return {
            "event": notice.kind,
            "job_id": notice.job_id or None,
            "job_name": notice.job_name or None,
            "run_id": notice.run_id or None,
            "scheduled_at": _iso(notice.instant),
            "count": notice.count,
            "told_before": notice.told,
            "first_at": _iso(notice.first_at),
            "last_at": _iso(notice.last_at),
            "error_type": notice.what if is_error and notice.what else None,
            "subject": _line(_subject(notice)),
            "text": notice.text or None,
            "explanation": explanation,
            "output": output,
            "url": self._url(notice),
        }


def _masked(text: str | None) -> str | None:
    return None if text is None else without_secrets(text)


def _subject(notice: Notice) -> str:
    """What happened, in one line."""
    if not notice.job_id:
        return _subject_without_job(notice)
    words = f"{escaped(notice.job_id)} {_SAID[notice.kind]}"
    if notice.told and notice.kind in _RUNS:
        words += f" {notice.count} more time{'s' if notice.count > 1 else ''}"
    elif notice.count > 1 and notice.kind in _RUNS:
        words += f" {notice.count} times"
    return f"{words}: {escaped(_error(notice))}" if notice.text or notice.what else words


def _subject_without_job(notice: Notice) -> str:
    said, about = _OF_SUMMARY[notice.kind], escaped(notice.text)
    if notice.kind in _RUNS or notice.jobstore:
        return f"{said}: {notice.count} times, further jobs"
    if notice.kind == NO_RUNNER:
        return "No runner is alive: nothing runs"
    if notice.what == NO_RUNNER:
        return "A runner is alive again"
    who = {NODE_DIED: "node", NOTIFIER_FAILED: "notifier"}.get(notice.kind, "store")
    words = f"The {who} {escaped(notice.what)} {_SAID[notice.kind]}"
    return f"{words}: {about}" if about else words


def _error(notice: Notice) -> str:
    """The error's type and message, or the reason."""
    return ": ".join(part for part in (notice.what, notice.text) if part)


def _subject_of_all(notices: Sequence[Notice]) -> str:
    counts: Counter[str] = Counter()
    for notice in notices:
        counts[notice.kind] += notice.count
    words = ", ".join(f"{_OF_SUMMARY[kind]}: {count}" for kind, count in counts.items())
    jobs = len({notice.job_id for notice in notices if notice.job_id})
    return f"{words} ({jobs} job{'' if jobs == 1 else 's'})" if jobs else words


def _times(notice: Notice) -> list[str]:
    if notice.count > 1:
        return [f"From {_iso(notice.first_at)} to {_iso(notice.last_at)}. The last one:"]
    return [f"At {_iso(notice.last_at)}."]


def _line(text: str) -> str:
    return text if len(text) <= _LONGEST_SUBJECT else text[: _LONGEST_SUBJECT - 3] + "..."


def _iso(ms: int | None) -> str | None:
    return None if ms is None else from_ms(ms).isoformat(timespec="seconds")
