"""The lines of a run's log as its output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from gsched.jobs.output import RunOutput
from gsched.times.clock import SystemClock
from gsched.times.instants import from_ms


def keeping_logger(output: RunOutput, context: Mapping[str, Any]) -> structlog.typing.BindableLogger:
    """A structlog logger, configured as all others, that adds its lines to an output.

    :param context: what is bound to the logger; lines in the output do not repeat it
    """

    def keep(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        output.add(_line(method, event, context).encode(errors="backslashreplace"))
        return event

    processors = [keep, *structlog.get_config()["processors"]]
    made: structlog.typing.BindableLogger = structlog.wrap_logger(
        None, processors, logger_factory_args=("gsched.run",), **context
    )
    return made


def _line(method: str, event: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """A line: the time (UTC), the level, the event and its values."""
    values = "".join(f" {key}={value!r}" for key, value in event.items() if key != "event" and key not in context)
    return f"{from_ms(SystemClock().now_ms()):%H:%M:%S} {method:7} {event.get('event', '')}{values}\n"
