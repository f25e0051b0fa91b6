"""A notifier: who gets messages, about which events and jobs, and how often."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Final

from gsched.errors import ConfigurationError
from gsched.jobs.job import Job
from gsched.jobs.limits import matches
from gsched.jobs.policy_options import NOTIFIER_NAME
from gsched.notices.channels.channel import Channel, PerRunChannel
from gsched.notices.notice import KINDS, OUTPUT
from gsched.times.durations import as_ms
from gsched.wording import did_you_mean

_LEAST_MS: Final = 1000


class Notifier:
    """Reports what happens to jobs to a person or a program, through a channel.

    A scheduler gets its notifiers as a list: `GeventScheduler(notifiers=[Notifier("ops", WebHook(url))])`. Without
    `jobs`, `tags`, `groups` and `all_jobs`, a notifier is for all jobs. A job can name further notifiers in its option
    `notify`.

    :param name: the name in jobs, log lines and commands: letters, digits and . @ : + - _
    :param channel: how messages are sent: a `Mail`, `Sendmail`, `WebHook`, `Command`, `Sentry` or `Ping`
    :param events: what it reports: "failed", "lost", "recovered", "overdue", "paused", "parked", "node_died",
        "no_runner", "store_away", "notifier_failed", "output"; None: all of these but "output". A `Ping` reports each
        run instead, and takes no events
    :param jobs: it is for the jobs with these ids; "*" stands for any text
    :param tags: it is for the jobs with one of these tags
    :param groups: it is for the jobs in these groups; "*" at the end stands for any text
    :param all_jobs: True: it is for all jobs; False: only for jobs that `jobs`, `tags` or `groups` match, or that name
        it
    :param every: a period of at least a second: seconds, a timedelta, or text such as "10m". The first failure is
        reported at once; further failures with the same type of error are counted, and reported once in each period.
        At most five messages are sent at once, and five more in each period
    :raises ConfigurationError: if an argument is wrong; the error names the argument
    """

    def __init__(
        self,
        name: str,
        channel: Channel | PerRunChannel,
        *,
        events: Iterable[str] | None = None,
        jobs: Iterable[str] = (),
        tags: Iterable[str] = (),
        groups: Iterable[str] = (),
        all_jobs: bool | None = None,
        every: float | timedelta | str = "10m",
    ) -> None:
        if not isinstance(name, str) or not NOTIFIER_NAME.fullmatch(name):
            raise ConfigurationError(f"notifier: expected a name of letters, digits and . @ : + - _, got {name!r}")
        if not isinstance(channel, (Channel, PerRunChannel)):
            kind = type(channel).__name__
            raise ConfigurationError(f"notifier {name!r}: expected a channel, such as WebHook, got a {kind}")
        self.name = name
        self.channel = channel
        if isinstance(channel, PerRunChannel):
            if events is not None:
                raise ConfigurationError("events: this channel reports each run as it begins and ends; leave it out")
            self.events: frozenset[str] = frozenset()
        else:
            self.events = frozenset(KINDS) - {OUTPUT} if events is None else _kinds(events)
        self.jobs = _texts("jobs", jobs)
        self.tags = frozenset(_texts("tags", tags))
        self.groups = _texts("groups", groups)
        if all_jobs not in (None, True, False):
            raise ConfigurationError(f"all_jobs: expected true or false, got {all_jobs!r}")
        self.all_jobs = not (self.jobs or self.tags or self.groups) if all_jobs is None else all_jobs
        self.every_ms = as_ms(every, "every")
        if self.every_ms < _LEAST_MS:
            raise ConfigurationError(f"every: must be at least a second, got {every!r}")

    def is_for(self, job: Job) -> bool:
        """True if the notifier reports what happens to this job."""
        if self.all_jobs or self.name in job.policy.notify or not self.tags.isdisjoint(job.tags):
            return True
        group = job.policy.group
        if group is not None and any(matches(pattern, group) for pattern in self.groups):
            return True
        return any(fnmatchcase(job.id, pattern) for pattern in self.jobs)

    def __repr__(self) -> str:
        return f"<Notifier {self.name!r} {self.channel!r}>"


def _kinds(events: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(_texts("events", events))
    for event in sorted(chosen):
        if event not in KINDS:
            hint = did_you_mean(event, KINDS) or f"; there are {', '.join(KINDS)}"
            raise ConfigurationError(f"events: {event!r} is unknown{hint}")
    if not chosen:
        raise ConfigurationError(f"events: name at least one of {', '.join(KINDS)}")
    return chosen


def _texts(what: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{what}: expected a list of texts, got {values!r}")
    texts = tuple(values)
    if not all(isinstance(each, str) and each for each in texts):
        raise ConfigurationError(f"{what}: expected a list of texts, got {values!r}")
    return texts
