"""Unexpected errors: each is a line in the log, without secrets."""

from __future__ import annotations

import traceback

import structlog

from gsched.errors import message_of
from gsched.web.redaction import Redact, Redaction


def log_failure(error: BaseException, redact: Redact) -> None:
    """Write the error to the log, as `web.failed`."""
    redaction = Redaction(redact)
    structlog.get_logger("gsched").error(
        "web.failed",
        error_type=type(error).__name__,
        error_message=redaction.whole(message_of(error)),
        traceback=redaction.whole("".join(traceback.format_exception(error))),
    )
