"""The runner's log: writes lines of structlog and of the standard library's logging to standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gsched.config import Configuration
from gsched.times.clock import SystemClock
from gsched.times.instants import from_ms
from gsched.wording import escaped, escaped_lines

_NOISY: Final = ("pymongo", "urllib3")  # at level debug they log a line for each message that they send
_FIRST: Final = ("timestamp", "level", "logger", "event")
_WHOLE: Final = ("stack", "exception")  # keys whose values may have many lines on a terminal
_TIMES: Final = frozenset(("next_run_time", "scheduled_at", "until"))  # keys of events whose values are times
_clock = SystemClock()


def configure_logging(configuration: Configuration) -> None:
    """Write all log lines to standard error, in the configured form and from the configured level on.

    Inside a run, the lines of the user's structlog loggers carry job_id, run_id and attempt. May be called again.
    """
    level = logging.getLevelNamesMapping()[configuration.log_level.upper()]
    chain = _chain(with_pid=configuration.processes > 1)
    last = _last_steps(configuration.log_format)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *chain, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_LogLine,
        cache_logger_on_first_use=False,  # a reload may change the level
    )
    _route_standard_logging(level, chain, last)


def runner_log() -> Any:
    """The logger of the runner's own lines."""
    return structlog.get_logger("gsched")


def write_line(text: str) -> None:
    """Write a line to standard error; nothing happens if its reader is gone, such as a closed terminal."""
    unwritten = (text + "\n").encode(errors="backslashreplace")
    try:
        while unwritten:  # not through sys.stderr, whose buffer would fail again and again
            unwritten = unwritten[os.write(2, unwritten) :]
    except OSError:
        pass


def _chain(with_pid: bool) -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        _add_logger_name,
        _add_time,
        *([_add_pid] if with_pid else []),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _last_steps(form: str) -> list[Processor]:
    if form == "auto":
        form = "console" if os.isatty(2) else "json"
    if form == "json":
        return [_telling_first, structlog.processors.JSONRenderer(default=repr)]
    if form == "logfmt":
        return [_telling_first, _printable, structlog.processors.LogfmtRenderer(bool_as_flag=False)]
    has_colors = os.isatty(2) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    plain = structlog.dev.plain_traceback  # the default shows local variables, passwords among them
    return [_for_people, structlog.dev.ConsoleRenderer(colors=has_colors, exception_formatter=plain, pad_event_to=20)]


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    name = logger.name if record is None else record.name
    if name is not None:
        event.setdefault("logger", name)
    return event


def _add_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["timestamp"] = from_ms(_clock.now_ms()).astimezone().isoformat(timespec="milliseconds")
    return event


def _add_pid(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.setdefault("pid", os.getpid())
    return event


def _telling_first(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**{key: event[key] for key in _FIRST if key in event}, **event}


def _for_people(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    if "traceback" in event:
        event["exception"] = str(event.pop("traceback")).rstrip()
    for key in _TIMES & event.keys():
        event[key] = _in_local_zone(event[key])
    return _printable(logger, name, event, _WHOLE)


def _in_local_zone(value: Any) -> Any:
    """A time as text in the zone of the line's own time; any other value unchanged."""
    try:
        return datetime.fromisoformat(value).astimezone().isoformat(timespec="milliseconds")
    except (TypeError, ValueError):
        return value


def _printable(_: WrappedLogger, __: str, event: EventDict, whole: tuple[str, ...] = ()) -> EventDict:
    return {_key(key): _shown(value, key in whole) if isinstance(value, str) else value for key, value in event.items()}


def _key(key: str) -> str:
    return "_".join(escaped(key).split()) or "_"


def _shown(value: str, has_lines: bool) -> str:
    return escaped_lines(value) if has_lines else escaped(value)


class _LogLine:
    """The last step of structlog's loggers: writes the line."""

    def __init__(self, name: str | None = None, *_: Any) -> None:
        self.name = name

    def __getattr__(self, level: str) -> Callable[[str], None]:
        return write_line


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_line(self.format(record))
        except Exception as error:  # arguments that do not fit the message, a __str__ that raises
            write_line(escaped(f"logging: {record.name}, {record.pathname}:{record.lineno}: {error!r}"))


def _route_standard_logging(level: int, chain: list[Processor], last: list[Processor]) -> None:
    handler = _LogHandler()
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, *chain], processors=[without_meta, *last]
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    runner_log().critical("runner.failed", exc_info=(kind, error, trace))
