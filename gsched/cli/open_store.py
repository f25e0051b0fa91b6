"""Opens the store whose jobs a command acts on, with a scheduler that is not started."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from gsched.config import Configuration
from gsched.event_loop.process import ctrl_c_reaches_main_greenlet
from gsched.jobs.pause_document import LONGEST_NAME
from gsched.runner.build import control_scheduler, refuse_memory
from gsched.schedulers.acting import acting
from gsched.schedulers.gevent import GeventScheduler


@contextmanager
def open_store(configuration: Configuration, *, makes_store: bool = False) -> Iterator[GeventScheduler]:
    """A scheduler with the configured store, to look at jobs and change them; closed at the end. Its verbs are called
    on behalf of user@host.

    :param makes_store: make a SQLite file or a private MongoDB that is not there yet
    :raises CommandRefused: if the jobs are in another process's memory, or the store is not there
    """
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)  # Ctrl-C ends the command; gevent need not report it
    with ctrl_c_reaches_main_greenlet():
        scheduler = control_scheduler(configuration, makes_store=makes_store)
        try:
            refuse_memory(scheduler)
            with acting(_user(), via="cli"):
                yield scheduler
        finally:
            scheduler.close()


def _user() -> str:
    """The user who calls the command, and the machine: user@host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"[:LONGEST_NAME]
