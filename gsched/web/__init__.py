"""HTTP: the probe port of a runner, and the dashboard: a JSON API, its pages, and how applications embed them.

Names are resolved when they are first used: the commands that ask a probe port need neither gevent nor werkzeug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsched.lazy_names import lazy_names

if TYPE_CHECKING:
    from gsched.web.embedding import create_app
    from gsched.web.redaction import redacted
    from gsched.web.users import PERMISSIONS, User

__all__ = ["PERMISSIONS", "User", "create_app", "redacted"]

__getattr__ = lazy_names(__name__, {
    "PERMISSIONS": "gsched.web.users",
    "User": "gsched.web.users",
    "create_app": "gsched.web.embedding",
    "redacted": "gsched.web.redaction",
})
