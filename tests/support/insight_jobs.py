"""What the nodes of insight_rig run."""

import gevent


def succeed() -> None:
    """A run that leaves nothing in the history."""


def fail() -> None:
    raise ValueError("no such thing")


def sleep(seconds: float) -> None:
    gevent.sleep(seconds)
