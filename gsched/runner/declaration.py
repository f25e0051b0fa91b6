"""Reads one [[job]] entry of a configuration file: gives the job that the entry declares, or all its mistakes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from gsched.config import Configuration
from gsched.errors import ConfigurationError, GschedError
from gsched.jobs.job import Job
from gsched.jobs.options import OPTIONS, checked_args, checked_flag, checked_kwargs, checked_options, checked_text
from gsched.jobs.pause import Pause
from gsched.policies.pauses import paused, resumed
from gsched.runner.application import import_function
from gsched.runner.commands import RUN_COMMAND
from gsched.runner.crontab.reboot import END_OF_TIME, REBOOT_TAG
from gsched.runner.origins import OWNER
from gsched.runner.problems import Problems
from gsched.runner.shell.options import OPTIONS as COMMAND_OPTIONS, doubts, wrong_options
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.schedulers.job_builder import make_trigger
from gsched.times.instants import as_timezone, timezone_name
from gsched.triggers import DateTrigger
from gsched.triggers.reboot import RebootTrigger
from gsched.triggers.spread import spread_trigger
from gsched.wording import did_you_mean

KEEP_OUTPUT: Final = "keep_output"  # an option of jobs that [command_defaults] may have, beside options of commands
DISABLED: Final = "enabled = false"  # the reason of the pause that such an entry makes
_KEYS: Final = (
    *("id", "func", "command", "trigger", "spread", "args", "kwargs", "name", "enabled", *OPTIONS, *COMMAND_OPTIONS),
)
_INTERVAL: Final = 'write trigger = {type = "interval", minutes = 5}'
_FOR_INTERVALS: Final = 'for an interval, write {type = "interval", minutes = 5}'
_CRONTAB: Final = 'write trigger = "*/5 * * * *"'
_OUTPUT: Final = 'output goes to the log; keep_output = "64KiB" keeps it with the history, too'
_IN_TRIGGER: Final = "it belongs in the trigger's table: trigger = {type = ..., "
# Keys of other tools, with what to write instead of each.
_ELSEWHERE: Final = {
    **dict.fromkeys(("schedule", "cron", "crontab", "when", "cron_expression", "expression", "spec"), _CRONTAB),
    **dict.fromkeys(("every", "interval", "period", "frequency", "repeat"), _INTERVAL),
    **dict.fromkeys(("seconds", "minutes", "hours", "days", "weeks"), _INTERVAL),
    **dict.fromkeys(("second", "minute", "hour", "day", "month", "week", "day_of_week", "year"), _CRONTAB),
    **dict.fromkeys(("at", "date", "run_date", "run_at"), 'write trigger = {type = "date", run_date = 2030-01-31}'),
    **dict.fromkeys(("cmd", "run", "script", "exec", "program", "shell_command"), 'write command = "..."'),
    **dict.fromkeys(("function", "callable", "task", "target", "job"), 'write func = "package.module:function"'),
    **dict.fromkeys(("dir", "directory", "workdir", "working_directory", "work_dir", "chdir"), 'write cwd = "/..."'),
    **dict.fromkeys(("environment", "environ", "variables", "vars"), 'write env = {NAME = "text"}'),
    **dict.fromkeys(("environment_file", "dotenv", "env_files"), 'write env_file = "/..."'),
    **dict.fromkeys(("mem", "mem_limit", "memory_limit", "max_memory"), 'write memory_max = "512MiB"'),
    **dict.fromkeys(("cpu", "cpu_limit", "cpu_time", "max_cpu_time"), 'write cpu_time_max = "10s"'),
    **dict.fromkeys(("niceness", "priority", "renice"), "write nice = 10"),
    **dict.fromkeys(("input",), 'write stdin = "..."'),
    **dict.fromkeys(("uid", "run_as", "username", "owner"), 'write user = "name"'),
    **dict.fromkeys(("concurrency", "max_concurrent", "parallel"), "write max_instances = 1"),
    **dict.fromkeys(("max_runtime", "time_limit", "deadline", "kill_after"), 'write timeout = "10m"'),
    **dict.fromkeys(("grace", "grace_time", "misfire"), 'write misfire_grace_time = "10m"'),
    **dict.fromkeys(("description", "title", "label"), 'write name = "..."'),
    **dict.fromkeys(("groups", "labels"), 'write tags = ["..."]'),
    **dict.fromkeys(("rate", "rate_limit", "throttle"), 'write group = "x", and [limit.x] with rate = "10/s"'),
    **dict.fromkeys(("queue", "pool", "worker"), 'write executor = "alias", and [executors.alias]'),
    **dict.fromkeys(("retry", "max_retries", "attempts", "max_attempts", "retry_count"), "write retries = 3"),
    **dict.fromkeys(("backoff", "exponential_backoff"), "write retry_backoff = 2"),
    **dict.fromkeys(("concurrency_policy", "on_overlap", "multiple_instances_policy"), 'write overlap = "skip"'),
    **dict.fromkeys(("max_failures", "max_consecutive_failed_dag_runs"), "write max_consecutive_failures = 5"),
    **dict.fromkeys(("disabled", "active", "paused"), "write enabled = false"),
    **{date: f"{_IN_TRIGGER}{date} = 2030-01-31}}" for date in ("start_date", "end_date")},
    **dict.fromkeys(("timezone", "tz"), f'{_IN_TRIGGER}timezone = "Europe/Paris"}}, or in [gsched]'),
    **dict.fromkeys(("between", "window"), f'{_IN_TRIGGER}between = "09:00-17:00"}}'),
    **dict.fromkeys(("quartz",), 'write trigger = {type = "cron", quartz = "0 0 9 ? * MON-FRI"}'),
    **dict.fromkeys(("jitter", "random_delay", "splay"), f"{_IN_TRIGGER}jitter = 30}}"),
    **dict.fromkeys(("stagger", "randomized_offset", "fixed_random_delay"), 'write spread = true, or spread = "1h"'),
    **dict.fromkeys(("mailto", "email", "on_failure", "notifier", "alert"), 'write notify = ["ops"], and [notify.ops]'),
    **dict.fromkeys(("stdout", "stderr", "output", "log"), _OUTPUT),
    **dict.fromkeys(("next_run_time",), "the trigger says when the job is due; gsched job run ID runs the job now"),
}


class Declaration(NamedTuple):
    """A [[job]] entry without mistakes.

    :ivar where: names the entry in messages
    :ivar definition: the arguments of add_job
    :ivar job: the job that add_job would make of them now
    :ivar enabled: False: the job is to be paused
    :ivar doubts: what the job's command needs and this machine lacks at the moment
    """

    where: str
    definition: Mapping[str, Any]
    job: Job
    doubts: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the job among all stores."""
        return self.job.jobstore, self.job.id


def read_declaration(
    where: str, entry: Mapping[str, Any], configuration: Configuration, scheduler: GeventScheduler
) -> Declaration:
    """The entry as a job. Its function is imported, and the scheduler may run it from now on.

    Raises ConfigurationError with a line for each mistake, which names the entry and the key.
    """
    reading = _Reading(entry, configuration, scheduler)
    reading.read()
    Problems(f"{where}: {problem}" for problem in reading.wrong).complain()
    definition = reading.with_defaults()
    definition["metadata"] = {**definition["metadata"], OWNER: configuration.name}
    try:
        job = engine_of(scheduler).build_job(definition)
        _check_aliases(job, scheduler)
        _check_notifiers(job, scheduler)
    except (GschedError, TypeError) as error:
        raise ConfigurationError(f"{where}: {error}") from error
    doubtful = doubts({**configuration.command_defaults, **entry}) if "command" in entry else ()
    declaration = Declaration(
        where, definition, job, tuple(f"{where}: {doubt}" for doubt in doubtful), reading.enabled
    )
    return declaration._replace(job=as_enabled(job, declaration, scheduler.clock.now_ms()))


def entry_definition(
    entry: Mapping[str, Any], configuration: Configuration, scheduler: GeventScheduler, *, imports: bool = True
) -> dict[str, Any]:
    """The arguments of add_job for an entry that is in no file.

    Raises ConfigurationError with a line for each mistake, which names the key.

    :param imports: import the function, to see that it exists
    """
    reading = _Reading(entry, configuration, scheduler, imports=imports)
    reading.read()
    reading.wrong.complain()
    return reading.with_defaults()


def wrong_command_defaults(configuration: Configuration) -> Problems:
    """The mistakes in the section [command_defaults], a line for each."""
    wrong, known = Problems(), (KEEP_OUTPUT, *COMMAND_OPTIONS)
    usual = configuration.command_defaults
    for key in (key for key in usual if key not in known):
        wrong.append(f"the key {key!r} is unknown{_meant(key, known)}")
    wrong.extend(map(str, wrong_options({key: value for key, value in usual.items() if key in COMMAND_OPTIONS})))
    if KEEP_OUTPUT in usual:
        with wrong.collect():
            checked_options({KEEP_OUTPUT: usual[KEEP_OUTPUT]})
    return Problems(f"{configuration.path}: command_defaults: {problem}" for problem in wrong)


def as_enabled(job: Job, declaration: Declaration, now: int) -> Job:
    """The job, paused if its entry has enabled = false, and resumed if an earlier version of the entry paused it.

    A pause that somebody else has begun stays.

    :param now: milliseconds since the epoch
    """
    if not declaration.enabled:
        return job if job.paused else paused(job, Pause(DISABLED, declaration.definition["metadata"][OWNER], now), now)
    return resumed(job, now) if is_disabled(job) else job


def is_disabled(job: Job) -> bool:
    """True if an entry has paused the job."""
    return job.pause is not None and job.pause.reason == DISABLED


def _wrong_keys(entry: Mapping[str, Any]) -> Iterator[str]:
    for key in entry:
        if key not in _KEYS:
            yield f"the key {key!r} is unknown{_meant(key)}"
        elif key in COMMAND_OPTIONS and "command" not in entry:
            yield f"{key}: only a job with a command has this option"
        elif key in ("args", "kwargs") and "command" in entry:
            yield f"{key}: only a job with a function has {key}; write a command's arguments into the command"
    missing = [key for key in ("id", "trigger") if key not in entry]
    yield from (f"the key {key!r} is missing" for key in missing if not _stands_for(key, entry))
    if ("func" in entry) == ("command" in entry):
        yield "write either func or command"


def _meant(key: str, known: Collection[str] = _KEYS) -> str:
    elsewhere = _ELSEWHERE.get(key.lower().replace("-", "_"))
    near = did_you_mean(key, known, cutoff=0.75)
    return near or (f"; {elsewhere}" if elsewhere else did_you_mean(key, known))


def _stands_for(key: str, entry: Mapping[str, Any]) -> bool:
    """True if the entry has another tool's key instead. The message about that key says what to write."""
    return key == "trigger" and any("trigger = " in _ELSEWHERE.get(each, "") for each in entry)


class _Reading:
    """Reads an entry key by key.

    :ivar definition: the arguments of add_job that have no mistake
    :ivar enabled: False: the job is to be paused
    :ivar wrong: the mistakes
    """

    def __init__(
        self, entry: Mapping[str, Any], configuration: Configuration, scheduler: GeventScheduler, imports: bool = True
    ) -> None:
        self._imports = imports
        self._given = {key: value for key, value in entry.items() if key in _KEYS}
        self._configuration = configuration
        self._scheduler = scheduler
        self.definition: dict[str, Any] = {}
        self.enabled = True
        self.wrong = Problems(_wrong_keys(entry))

    def read(self) -> None:
        """Read the whole entry."""
        self._identify()
        self._call_command() if "command" in self._given else self._call_function()
        for key in (key for key in self._given if key in OPTIONS and key != "metadata"):
            with self.wrong.collect():
                checked_options({key: self._given[key]})
                self.definition[key] = self._given[key]
        if "trigger" in self._given:
            with self.wrong.collect("trigger: "):
                self.definition.update(self._due())
            if self.wrong and _is_no_crontab(self._given["trigger"]):
                self.wrong[-1] += f"; {_FOR_INTERVALS}"
        if "spread" in self._given and "trigger" in self.definition:
            with self.wrong.collect():
                self.definition["trigger"] = spread_trigger(self.definition["trigger"], self._given["spread"])

    def with_defaults(self) -> dict[str, Any]:
        """The definition, with the configuration's defaults if the scheduler is an application's, which lacks them."""
        return {**(self._configuration.defaults if self._configuration.app is not None else {}), **self.definition}

    def _identify(self) -> None:
        for key in ("id", "name"):
            if key in self._given:
                with self.wrong.collect():
                    self.definition[key] = checked_text(key, self._given[key])
        with self.wrong.collect():
            self.enabled = checked_flag("enabled", self._given.get("enabled", True))
        metadata = self._given.get("metadata", {})
        if not isinstance(metadata, Mapping) or OWNER in metadata:
            self.wrong.append(f"metadata: expected a table without {OWNER!r}, got {metadata!r}")
        else:
            self.definition["metadata"] = metadata

    def _call_command(self) -> None:
        command = self._given["command"]
        options: dict[str, Any] = {key: self._given[key] for key in COMMAND_OPTIONS if key in self._given}
        self.wrong.extend(map(str, wrong_options({"command": command, **options})))
        usual = dict(self._configuration.command_defaults)
        if KEEP_OUTPUT in usual:
            self.definition[KEEP_OUTPUT] = usual.pop(KEEP_OUTPUT)
        self.definition.update(func=RUN_COMMAND, args=[command], kwargs={**usual, **options})
        self.definition.setdefault("name", command)

    def _call_function(self) -> None:
        check_function = _check_function if self._imports else partial(checked_text, "func")
        for key, check in (("args", checked_args), ("kwargs", checked_kwargs), ("func", check_function)):
            if key in self._given:
                with self.wrong.collect("func: " if key == "func" else ""):
                    check(self._given[key])
                    self.definition[key] = self._given[key]

    def _due(self) -> dict[str, Any]:
        """The arguments of add_job that say when the job is due. A text is a cron expression."""
        written, tags = self._given["trigger"], self._given.get("tags", [])
        if not isinstance(written, (str, Mapping)):
            raise ConfigurationError(f"expected a cron expression, or a table with a type, got {written!r}")
        if isinstance(written, Mapping) and not isinstance(written.get("type"), str):
            raise ConfigurationError(f"the type is missing: interval, cron, date or another; {_FOR_INTERVALS}")
        table = {"type": "cron", "crontab": written} if isinstance(written, str) else written
        zone = _zone_name(self._configuration, self._scheduler)
        trigger = make_trigger(_zoned(table, zone), {}, self._scheduler.timezone)
        due = trigger.for_job(str(self.definition.get("id", "any"))).next_ms(0)
        if due is None and not isinstance(trigger, (DateTrigger, RebootTrigger)):
            raise ConfigurationError("never due: there is no such time")
        if isinstance(trigger, DateTrigger) and trigger.run_date is None:
            raise ConfigurationError("run_date is missing")
        if isinstance(trigger, RebootTrigger):  # the job runs when a runner starts, not at a time
            # Tags that are no list are refused with the other options.
            marked = [*tags, REBOOT_TAG] if isinstance(tags, list) and REBOOT_TAG not in tags else tags
            return {"trigger": trigger, "tags": marked, "next_run_time": END_OF_TIME}
        return {"trigger": trigger}


def _is_no_crontab(trigger: Any) -> bool:
    """True for a text that does not look like a cron expression: "5m", "every 5 minutes"."""
    return isinstance(trigger, str) and not re.match(r"\s*(@|\S+\s+\S+\s+\S+\s+\S+)", trigger)


def _check_function(ref: Any) -> None:
    if not isinstance(ref, str):
        raise ConfigurationError(f"expected 'package.module:function', got {ref!r}")
    import_function(ref)


def _zoned(table: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """The table, in which each trigger without a time zone has this one; triggers inside it, too."""
    if "triggers" in table and not isinstance(table["triggers"], (list, tuple)):
        return dict(table)
    if isinstance(inner := table.get("triggers"), (list, tuple)):
        return {**table, "triggers": [_zoned(each, zone) if isinstance(each, Mapping) else each for each in inner]}
    return {**({"timezone": zone} if "type" in table else {}), **table}


def _zone_name(configuration: Configuration, scheduler: GeventScheduler) -> str:
    zone = scheduler.timezone if configuration.timezone is None else as_timezone(configuration.timezone)
    return timezone_name(zone)


def _check_notifiers(job: Job, scheduler: GeventScheduler) -> None:
    known = engine_of(scheduler).notifiers
    for name in job.policy.notify:
        if name not in known:
            hint = did_you_mean(name, known) or f"; write a section [notify.{name}]"
            raise ConfigurationError(f"notify: {name!r} is unknown{hint}")


def _check_aliases(job: Job, scheduler: GeventScheduler) -> None:
    for key, known in (("executor", scheduler.executors), ("jobstore", scheduler.stores)):
        alias = getattr(job, key)
        if alias not in known and alias != "default":
            there = ", ".join(sorted({"default", *known}))
            raise ConfigurationError(f"{key}: {alias!r} is unknown; there are {there}")
