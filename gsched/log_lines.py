"""Where log lines go: to structlog, the standard library's logging, or standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final

import structlog

from gsched.wording import escaped_lines

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_REMEDY: Final = (
    "gsched: the logger 'gsched' is disabled, so that warnings and errors come here: logging.config disables the "
    "loggers that it finds; pass disable_existing_loggers=False to it, or configure the logger 'gsched' in it\n"
)


def logger_for(level: str) -> Any:
    """The logger that would write this level, or None if none would: a line not made costs nothing."""
    standard = logging.getLogger("gsched")
    if standard.disabled and _writes_to_standard_logging():
        return _in_place_of_disabled if _LEVELS[level] >= logging.WARNING else None
    if structlog.is_configured():
        return structlog.get_logger("gsched")
    return _StandardLogger() if standard.isEnabledFor(_LEVELS[level]) else None


class _StandardLogger:
    """Writes `name key=value ...` through the standard library, with the values as attributes of the record."""

    def __getattr__(self, level: str) -> Any:
        def write(name: str, **fields: Any) -> None:
            logging.getLogger("gsched").log(_LEVELS[level], "%s", _as_text(name, fields), extra={"gsched": fields})

        return write


class _InPlaceOfDisabled:
    """Writes to standard error what the logger `gsched` would have written if nobody had disabled it."""

    def __init__(self) -> None:
        self._remedy = _REMEDY

    def __getattr__(self, level: str) -> Any:
        def write(name: str, **fields: Any) -> None:
            remedy, self._remedy = self._remedy, ""  # once
            if sys.stderr is not None:
                print(f"{remedy}{_as_text(name, fields)}", file=sys.stderr, flush=True)

        return write


_in_place_of_disabled: Final = _InPlaceOfDisabled()


def _writes_to_standard_logging() -> bool:
    factory = structlog.get_config()["logger_factory"] if structlog.is_configured() else None
    return factory is None or isinstance(factory, structlog.stdlib.LoggerFactory)


def _as_text(name: str, fields: Mapping[str, Any]) -> str:
    text = "".join(f" {key}={value!r}" for key, value in fields.items() if key != "traceback")
    trace = f"\n{escaped_lines(fields['traceback'])}" if "traceback" in fields else ""
    return name + text + trace
