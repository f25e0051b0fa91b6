"""Where log lines go: to structlog, the standard library's logging, or standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final

from gsched.wording import escaped_lines

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_REMEDY: Final = (
    "gsched: the logger 'gsched' is disabled, so that warnings and errors come here: logging.config disables the "
    "loggers that it finds; pass disable_existing_loggers=False to it, or configure the logger 'gsched' in it\n"
)


def structlog_is_configured() -> bool:
    """True if the application logs with structlog; such an application has imported it.

    It is not imported here, for that takes as long as to import half of gsched.
    """
    is_configured = getattr(sys.modules.get("structlog"), "is_configured", None)
    return is_configured is not None and is_configured()


def logger_for(level: str) -> Any:
    """The logger that writes this level, or None if none does: then the line need not be made."""
    standard = logging.getLogger("gsched")
    if standard.disabled and _writes_to_standard_logging():
        return _in_place_of_disabled if _LEVELS[level] >= logging.WARNING else None
    if structlog_is_configured():
        import structlog

        return structlog.get_logger("gsched")
    return _StandardLogger() if standard.isEnabledFor(_LEVELS[level]) else None


class _StandardLogger:
    """Writes `name key=value ...` through the standard library, with the values as attributes of the record."""

    def __getattr__(self, level: str) -> Any:
        def write(name: str, **fields: Any) -> None:
            logging.getLogger("gsched").log(_LEVELS[level], "%s", _as_text(name, fields), extra={"gsched": fields})

        return write


class _InPlaceOfDisabled:
    """Writes the lines of the disabled logger `gsched` to standard error."""

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
    if not structlog_is_configured():
        return True
    import structlog

    return isinstance(structlog.get_config()["logger_factory"], structlog.stdlib.LoggerFactory)


def _as_text(name: str, fields: Mapping[str, Any]) -> str:
    text = "".join(f" {key}={_shown(value)}" for key, value in fields.items() if key != "traceback")
    trace = f"\n{escaped_lines(fields['traceback'])}" if "traceback" in fields else ""
    return name + text + trace


def _shown(value: object) -> str:
    """The value as Python writes it; a reason, which is a member of an enumeration, as its text."""
    return repr(str(value) if isinstance(value, str) else value)
