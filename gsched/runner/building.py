"""From a configuration to a scheduler: its stores, executors, defaults and application."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeGuard

from gsched.config import Configuration
from gsched.errors import ConfigurationError, EmbeddedMongoError
from gsched.funcref import UnresolvedFunctions
from gsched.runner.application import load_application
from gsched.scheduler import GeventScheduler
from gsched.stores import BaseJobStore, MemoryJobStore


def runner_scheduler(configuration: Configuration) -> GeventScheduler:
    """The scheduler that a runner starts: the application's, or a new one, completed from the configuration.

    Raises ConfigurationError if the two contradict each other, or the application cannot be loaded.
    """
    application = None if configuration.app is None else load_application(configuration.app)
    return _completed(configuration, application or GeventScheduler(**_options(configuration)))


def control_scheduler(configuration: Configuration) -> GeventScheduler:
    """A scheduler to look at jobs and change them; it resolves no functions, and is never started.

    It is the application's own if that has a job store. Else the application is asked for nothing: the jobs that it
    adds are added where it runs, not by those who look at them.
    """
    if configuration.app is not None and _has_store(application := load_application(configuration.app)):
        return _completed(configuration, application)
    scheduler = GeventScheduler(**_options(configuration), functions=UnresolvedFunctions())
    scheduler.add_jobstore(store_of(configuration))
    return scheduler


def _options(configuration: Configuration) -> dict[str, Any]:
    return {
        "name": configuration.name,
        "timezone": configuration.timezone,
        "modules": configuration.modules,
        "executors": configuration.executors,
        "job_defaults": configuration.defaults,
        "run_events": configuration.run_events,
        "blocked_hub_after": configuration.blocked_hub_after,
        "summary_every": configuration.summary_every,
    }


def _has_store(scheduler: GeventScheduler | None) -> TypeGuard[GeventScheduler]:
    """Whether it has a job store of its own, and not only jobs that wait for one."""
    return scheduler is not None and "default" in scheduler.stores and not scheduler.is_pending("default")


def _completed(configuration: Configuration, scheduler: GeventScheduler) -> GeventScheduler:
    if not _has_store(scheduler):
        scheduler.add_jobstore(store_of(configuration))
    elif configuration.given & {"store", "embedded", "memory"}:
        raise ConfigurationError(f"{configuration.app} has a job store of its own; a store is configured as well")
    return scheduler


def store_of(configuration: Configuration) -> BaseJobStore:
    """The job store: the one that is named, else a private MongoDB if there is a mongod, else memory."""
    options: dict[str, Any] = {
        "collection": configuration.collection,
        "modules": configuration.modules,
        "history_keep": configuration.history_keep,
        "history_successes": configuration.history_successes,
        "node_ttl": configuration.node_ttl,
    }
    if configuration.database is not None:
        options["database"] = configuration.database
    if configuration.memory:
        return MemoryJobStore()
    if configuration.store is not None:
        from gsched.stores import MongoDBJobStore

        return MongoDBJobStore(configuration.store, **options)
    if configuration.embedded or has_mongod():
        from gsched.stores import MongoDBJobStore

        return MongoDBJobStore.embedded(data_directory(configuration), **options)
    return MemoryJobStore()


def has_mongod() -> bool:
    """Whether there is a mongod for a private MongoDB."""
    from gsched.embedded import find_mongod

    try:
        find_mongod()
    except EmbeddedMongoError:
        return False
    return True


def data_directory(configuration: Configuration) -> Path:
    """Where the private MongoDB has its data: the configured place, else the system's or the user's."""
    if configuration.directory is not None:
        return Path(configuration.directory)
    if os.getuid() == 0:
        return Path("/var/lib/gsched")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "gsched"
