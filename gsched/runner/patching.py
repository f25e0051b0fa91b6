"""Patching: the runner's first step, before anything of the application is imported."""

from __future__ import annotations

from gevent import monkey


def patch() -> None:
    """Let gevent patch the standard library, unless it has."""
    if not monkey.is_module_patched("socket"):
        monkey.patch_all()
