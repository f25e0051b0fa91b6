"""Every setting, declared once: its key in gsched.toml, flag, environment variable, type and default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gsched.config.values import (
    choice,
    duration,
    free_table,
    history_successes,
    listed_texts,
    name_without,
    optional_duration,
    public_url,
    recent_outcomes,
    secret_text,
    switch,
    tables,
    text,
    texts,
    whole_number,
    zone_name,
)

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Setting(NamedTuple):
    """One setting.

    :ivar name: the field of Configuration
    :ivar key: its place in gsched.toml: "section.name"
    :ivar read: makes its value from the key and what is written; raises ConfigurationError, which names the key
    :ivar help: one line for people
    :ivar flags: its flags; the last one gives the name of the variable: --pid-file, GSCHED_PID_FILE
    :ivar metavar: the word for its value in help texts
    """

    name: str
    key: str
    read: Callable[[str, Any], Any]
    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None

    @property
    def variable(self) -> str | None:
        """The setting's environment variable; None for a setting without a flag."""
        return "GSCHED_" + self.flags[-1].strip("-").upper().replace("-", "_") if self.flags else None

    @property
    def is_switch(self) -> bool:
        """True if its flag takes no value."""
        return self.read is switch


def _setting(
    key: str, read: Callable[[str, Any], Any], default: Any, help: str, *flags: str, metavar: str | None = None
) -> Any:
    declared = {"key": key, "read": read, "help": help, "flags": flags, "metavar": metavar}
    return field(default_factory=lambda: default, metadata=declared)  # a factory, because tables cannot be hashed


@dataclass(frozen=True)
class Configuration:
    """The settings of the runner and the command line. Durations are seconds.

    :ivar path: the configuration file; None if there is none
    :ivar problems: a line for each wrong setting of that file; such a setting has its default
    :ivar given: the names of the fields that a flag, a variable or the file has set
    :ivar flags: the fields that flags have set; they win again when the file is read again
    """

    app: str | None = _setting(
        "gsched.app", text, None, "application: a GeventScheduler, or a function that makes one",
        "-A", "--app", metavar="MODULE:NAME",
    )  # fmt: skip
    name: str = _setting("gsched.name", text, "gsched", "the scheduler's name in log lines", "--name")
    timezone: str | None = _setting(
        "gsched.timezone", zone_name, None, "time zone of triggers that name none (default: this machine's)",
        "--timezone",
    )  # fmt: skip
    processes: int = _setting(
        "gsched.processes", whole_number, 1, "how many processes run jobs, under one supervisor", "--processes",
        metavar="N",
    )  # fmt: skip
    probe: str | None = _setting(
        "gsched.probe", text, None, "serve /livez, /readyz and /metrics at this address", "--probe", metavar="HOST:PORT"
    )
    web: str | None = _setting(
        "web.address", text, None, "serve the dashboard at this address, on loopback unless users have a token",
        "--web", metavar="HOST:PORT",
    )  # fmt: skip
    web_token_file: str | None = _setting(
        "web.token_file", text, None, "users of the dashboard need the token in this file (or in GSCHED_WEB_TOKEN)",
        "--web-token-file", metavar="FILE",
    )  # fmt: skip
    web_user_header: str | None = _setting(
        "web.user_header", text, None, "a proxy on this machine names the dashboard's user in this header",
        "--web-user-header", metavar="NAME",
    )  # fmt: skip
    web_hosts: tuple[str, ...] = _setting(
        "web.hosts", listed_texts, (), "names by which users call the dashboard, beside localhost and addresses",
        "--web-hosts", metavar="NAME,NAME",
    )  # fmt: skip
    web_read_only: bool = _setting("web.read_only", switch, False, "the dashboard changes nothing", "--web-read-only")
    web_public_url: str | None = _setting(
        "web.public_url", public_url, None, "the URL of the dashboard, for links in notifications",
        "--web-public-url", metavar="URL",
    )  # fmt: skip
    web_title: str = _setting("web.title", text, "", "the heading of the dashboard's pages", "--web-title")
    drain_timeout: float = _setting(
        "gsched.drain_timeout", duration, 25.0, "how long runs may go on after TERM before they are cancelled",
        "--drain-timeout", metavar="DURATION",
    )  # fmt: skip
    pid_file: str | None = _setting(
        "gsched.pid_file", text, None, "write the process id into this file", "--pid-file", metavar="FILE"
    )
    crontab: str | None = _setting(
        "gsched.crontab", text, None, "run the commands of this crontab as jobs", "--crontab", metavar="FILE"
    )
    blocked_hub_after: float | None = _setting(
        "gsched.blocked_hub_after", optional_duration, 1.0, "report code that holds the event loop for so long"
    )

    store: str | None = _setting(
        "store.url", secret_text, None, "keep jobs in the MongoDB or SQLite file at this URL", "--store", metavar="URL"
    )
    embedded: bool = _setting(
        "store.embedded", switch, False, "keep jobs in SQLite, in the data directory (the default)", "--embedded"
    )
    embedded_mongodb: bool = _setting(
        "store.embedded_mongodb", switch, False, "keep jobs in a private MongoDB, in the data directory",
        "--embedded-mongodb",
    )  # fmt: skip
    memory: bool = _setting("store.memory", switch, False, "keep jobs in memory only", "--memory")
    directory: str | None = _setting(
        "store.directory", text, None, "the data directory of --embedded and --embedded-mongodb", "--data",
        metavar="DIRECTORY",
    )  # fmt: skip
    database: str | None = _setting(
        "store.database", name_without(' ./\\"$'), None, "the database (default: the URL's, else gsched)"
    )
    collection: str = _setting(
        "store.collection", name_without("$"), "jobs", "name of the collection of jobs"
    )
    modules: tuple[str, ...] = _setting(
        "store.modules", texts, (), "modules in which stored function references may be resolved"
    )
    history_keep: float = _setting(
        "store.history.keep", duration, 14 * 86_400.0, "how long the history of runs is kept"
    )
    history_successes: str | int = _setting(
        "store.history.successes", history_successes, "none", "which successes the history has: none, all, sampled:N"
    )
    history_recent: int = _setting(
        "store.history.recent", recent_outcomes, 32, "how many last outcomes each job keeps, successes too: 32 or 0"
    )
    node_ttl: float = _setting(
        "store.node_ttl", duration, 10.0, "a process that is silent for so long is declared dead"
    )

    executors: Mapping[str, Any] = _setting(
        "executors", free_table, NOTHING, "tables of executors by alias: their type and its arguments"
    )
    defaults: Mapping[str, Any] = _setting("defaults", free_table, NOTHING, "defaults for the options of jobs")
    command_defaults: Mapping[str, Any] = _setting(
        "command_defaults", free_table, NOTHING, "defaults for the options of commands"
    )
    limits: Mapping[str, Any] = _setting(
        "limit", free_table, NOTHING, "tables of limits by group: concurrency, rate, burst"
    )

    notifiers: Mapping[str, Any] = _setting(
        "notify", free_table, NOTHING, "tables of notifiers by name: their type, its options, and what they report"
    )

    log_format: str = _setting(
        "log.format", choice("auto", "console", "json", "logfmt"), "auto",
        "auto (console on a terminal, else json), console, json or logfmt", "--log-format", metavar="FORMAT",
    )  # fmt: skip
    log_level: str = _setting(
        "log.level", choice("debug", "info", "warning", "error"), "info",
        "log lines from this level on: debug, info, warning, error", "--log-level", metavar="LEVEL",
    )  # fmt: skip
    run_events: str = _setting(
        "log.run_events", choice("all", "failures", "none"), "failures", "which runs are logged: all, failures, none"
    )
    summary_every: float | None = _setting(
        "log.summary_every", optional_duration, 60.0, "how often a summary of runs is logged; 'never' for none"
    )

    jobs: tuple[Mapping[str, Any], ...] = _setting("job", tables, (), "the jobs that the file declares")

    path: str | None = None
    problems: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    flags: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


def settings() -> tuple[Setting, ...]:
    """All settings, in the order of the file's sections."""
    return tuple(_as_setting(each) for each in fields(Configuration) if "key" in each.metadata)


def _as_setting(declared: Field[Any]) -> Setting:
    return Setting(declared.name, **declared.metadata)
