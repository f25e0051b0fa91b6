"""Which jobs a command acts on: the scheduler that the configuration names, not started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from gsched.cli.options import PLACE
from gsched.config import Configuration
from gsched.runner.building import control_scheduler
from gsched.runner.data_directory import data_directory
from gsched.runner.exits import CommandRefused, Exit
from gsched.scheduler import GeventScheduler
from gsched.stores import MemoryJobStore


@contextmanager
def target(configuration: Configuration, *, makes_store: bool = False) -> Iterator[GeventScheduler]:
    """A scheduler with the configured store, to look at jobs and change them; closed at the end.

    :param makes_store: make a private MongoDB where there is none
    :raises CommandRefused: where the jobs are in another process's memory, nothing says where they are, or it is a
        private MongoDB that is not there
    """
    if not configuration.given.intersection(PLACE) and not data_directory(configuration).exists():
        raise CommandRefused(
            "nothing says where the jobs are",
            Exit.INVALID,
            "name the store: --store URL, --embedded, -c gsched.toml, or -A module:scheduler",
        )
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)  # Ctrl-C ends the command; gevent need not report it
    scheduler = control_scheduler(configuration, makes_store=makes_store)
    try:
        if all(isinstance(store, MemoryJobStore) for store in scheduler.stores.values()):
            raise CommandRefused(
                "a memory store is inside the process that runs it, and out of reach from here",
                Exit.INVALID,
                "run with --embedded or --store URL, and name the same here (--store, -c, or -A); `gsched top --probe "
                "HOST:PORT` shows what a runner with --probe does",
            )
        yield scheduler
    finally:
        scheduler.close()
