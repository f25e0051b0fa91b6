"""The verbs that limit, pause and resume groups."""

from __future__ import annotations

from gsched.events import EVENT_GROUP_PAUSED, EVENT_GROUP_RESUMED, GroupPauseEvent
from gsched.jobs.audit import Act
from gsched.jobs.limits import GroupLimit, GroupLimits, checked_limit, checked_pattern
from gsched.jobs.pause import Pause
from gsched.policies.pauses import renewed
from gsched.schedulers.acting import act
from gsched.schedulers.group_limits import actor_of, note, remove_limit, set_limit
from gsched.schedulers.verbs.pause import Until, name_of_actor, wanted_pause
from gsched.schedulers.verbs.verbs import Verbs


class LimitVerbs(Verbs):
    """The verbs that limit, pause and resume groups. A job belongs to the group that its option `group` names."""

    def set_limit(
        self,
        pattern: str,
        concurrency: int | None = None,
        rate: float | str | None = None,
        burst: int = 1,
        jobstore: str = "default",
    ) -> GroupLimit:
        """Limit the runs of a group, or of each group whose name begins with `pattern` up to its "*".

        Each group has the limit for itself, over all processes. If several patterns match a group, the longest one
        counts alone. The limit takes the place of one that the pattern has, and counts from now on: what is in progress
        goes on.

        :param concurrency: how many runs may be in progress at once
        :param rate: how many runs may begin: a number per second, or text such as "10/s", "600/min", "2/h"
        :param burst: how many may begin at once after a time in which fewer began; it needs `rate`
        :raises ConfigurationError: if one of them is wrong, or neither `concurrency` nor `rate` is given
        """
        limit = checked_limit(pattern, concurrency, rate, burst)
        return self._engine.call(set_limit, self._engine, limit, jobstore, act("limit.set", self._engine.now_ms()))

    def get_limits(self, jobstore: str = "default") -> GroupLimits:
        """The limits of groups (`by_pattern`) and the pauses of groups that hold now (`pauses`).

        `get_limits().of("host:x")` is the limit of that group, and None if it has none.
        """
        return self._engine.call(lambda: self._engine.store_for_adding(jobstore).limits())

    def remove_limit(self, pattern: str, jobstore: str = "default") -> None:
        """Remove the limit of this pattern: what waits because of it begins. Raises LimitNotFoundError."""
        done = act("limit.remove", self._engine.now_ms())
        self._engine.call(remove_limit, self._engine, checked_pattern("pattern", pattern), jobstore, done)

    def pause_group(
        self,
        group: str,
        reason: str | None = None,
        until: Until = None,
        by: str | None = None,
        jobstore: str = "default",
    ) -> Pause:
        """Pause a group, or all groups whose names begin so (`host:*`): no run of their jobs begins.

        The jobs stay due. What is due meanwhile waits for its turn, and coalesces as each job says. Runs in progress go
        on. A group that is paused already keeps its pause, but for what is given here.

        :param reason: why, at most 250 characters; default: the actor's (see `gsched.acting`)
        :param until: when the pause ends by itself, as for `pause_job`; None: when somebody resumes the group
        :param by: who pauses it, at most 200 characters; default: the actor's name
        :return: the pause
        :raises ConfigurationError: if `group` cannot be a group
        :raises InvalidJobError: if `until` is not ahead, or a text is empty or too long; nothing is changed then
        """
        name = checked_pattern("group", group)
        wanted = wanted_pause(reason, until, by, self._engine.now_ms(), self._engine.timezone)
        done = act("group.pause", self._engine.now_ms(), by=wanted.by, reason=wanted.reason)
        return self._engine.call(self._pause_group, name, wanted, jobstore, done)

    def _pause_group(self, group: str, wanted: Pause, jobstore: str, done: Act | None) -> Pause:
        store = self._engine.store_for_adding(jobstore)
        known = store.limits().pauses.get(group)
        pause = wanted if known is None else renewed(known, wanted)
        if pause != known:
            store.pause_group(group, pause)
            note(store, done, group)
            self._engine.bus.emit(GroupPauseEvent(EVENT_GROUP_PAUSED, jobstore, group, pause, pause.by))
        return pause

    def resume_group(self, group: str, by: str | None = None, jobstore: str = "default") -> None:
        """End the pause of a group, or that of `host:*`: what waits begins, as the limits allow.

        :param by: who resumes it; default: the actor's name (see `gsched.acting`)
        :raises GroupNotPausedError: if no pause has this name; a group that only a pause of `host:*` covers is resumed
            with that one
        """
        name = checked_pattern("group", group)
        done = act("group.resume", self._engine.now_ms(), by=name_of_actor(by))
        self._engine.call(self._resume_group, name, jobstore, done)

    def _resume_group(self, group: str, jobstore: str, done: Act | None) -> None:
        store = self._engine.store_for_adding(jobstore)
        known = store.limits().pauses.get(group, Pause())
        store.resume_group(group)
        note(store, done, group)
        self._engine.bus.emit(GroupPauseEvent(EVENT_GROUP_RESUMED, jobstore, group, known, actor_of(done)))
