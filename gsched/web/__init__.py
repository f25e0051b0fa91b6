"""HTTP: the probe port of a runner, and the dashboard: a JSON API, its pages, and how applications embed them.

Names are resolved when they are first used: the commands that ask a probe port need neither gevent nor werkzeug.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gsched.web.embedding import create_app
    from gsched.web.redaction import redacted
    from gsched.web.users import PERMISSIONS, User

__all__ = ["PERMISSIONS", "User", "create_app", "redacted"]

_HOMES: Final = {
    "PERMISSIONS": "gsched.web.users",
    "User": "gsched.web.users",
    "create_app": "gsched.web.embedding",
    "redacted": "gsched.web.redaction",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
