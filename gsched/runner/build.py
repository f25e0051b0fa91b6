"""Makes a scheduler from a configuration: its store, executors, defaults and application."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from gsched.config import Configuration, origin
from gsched.errors import ConfigurationError, InvalidJobError, JobIdConflictError
from gsched.executors import BaseExecutor
from gsched.jobs.funcref import UnresolvedFunctions
from gsched.runner.application import load_application, look_here
from gsched.runner.commands import COMMANDS
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.runner.foreign_files import refuse_foreign_files
from gsched.runner.place import StoreChoice, has_own_store, is_there, place_of
from gsched.runner.problems import Problems
from gsched.runner.store_url import check_url
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler
from gsched.schedulers.settings import checked_defaults, make_executor
from gsched.stores import BaseJobStore, MemoryJobStore

_NOT_THERE: Final = (
    "gsched run and gsched store init make the store; if the jobs are elsewhere, name the place: --store URL, --data "
    "DIRECTORY, -c gsched.toml, or -A module:scheduler"
)


def runner_scheduler(configuration: Configuration) -> tuple[GeventScheduler, StoreChoice]:
    """The scheduler that a runner starts: the application's, or a new one, completed from the configuration.

    Settings of the application's scheduler stay. The configuration adds modules and executors, and the job store if the
    scheduler has none. The name and the settings of the log come from the configuration if it has them.

    :raises ConfigurationError: if application and configuration contradict each other, if the application cannot be
        loaded, or if other users may write files that root's runner executes
    """
    refuse_foreign_files(configuration)
    for module in configuration.modules:
        look_here(module)
    scheduler = load_application(configuration.app) if configuration.app is not None else None
    if scheduler is None:
        scheduler = GeventScheduler(**_options(configuration))
    else:
        _complete(scheduler, configuration)
    _add_notifiers(scheduler, configuration)
    place = place_of(configuration, scheduler)
    engine_of(scheduler).allow_modules(allowed_modules(configuration, place))
    if place.kind != "application":
        _hand_over(scheduler, _store_at(place, configuration), configuration)
    return scheduler, place


def control_scheduler(configuration: Configuration, *, makes_store: bool = False) -> GeventScheduler:
    """A scheduler with which commands look at jobs and change them; it is never started.

    It is the application's scheduler if that has a job store. Otherwise it is a new one, which resolves no functions.

    :param makes_store: if there is no SQLite file or private MongoDB yet, make it
    :raises CommandRefused: if there is none, and `makes_store` is False
    """
    own = None if configuration.app is None else load_application(configuration.app)
    if own is not None and has_own_store(own):
        _refuse_second_store(configuration)
        return own
    scheduler = GeventScheduler(**_options(configuration), functions=UnresolvedFunctions())
    place = place_of(configuration, own)
    if not makes_store and not is_there(place):
        what = "no file" if place.kind == "sqlite" else "no private MongoDB in"
        raise CommandRefused(f"there is {what} {place.why}", Exit.NOT_FOUND, _NOT_THERE)
    scheduler.add_jobstore(_store_at(place, configuration))
    return scheduler


def refuse_memory(scheduler: GeventScheduler) -> None:
    """Raise CommandRefused if the jobs are in another process's memory."""
    if all(isinstance(store, MemoryJobStore) for store in scheduler.stores.values()):
        raise CommandRefused(
            "a memory store is inside the process that runs it, and out of reach from here",
            Exit.INVALID,
            "run with --embedded or --store URL, and name the same here (--store, -c, or -A); "
            "`gsched top --probe HOST:PORT` shows what a runner with --probe does, and `gsched run --web` serves its"
            " dashboard",
        )


def _hand_over(scheduler: GeventScheduler, store: BaseJobStore, configuration: Configuration) -> None:
    """Give the scheduler its store. The store gets the jobs that the application has added so far."""
    try:
        scheduler.add_jobstore(store)
    except JobIdConflictError as error:
        store.close()
        raise CommandRefused(
            f"app {configuration.app!r}: it adds the job {error.job_id!r}, which the store has already",
            Exit.CONFLICT,
            "add_job(..., replace_existing=True) is right at every start; or give the job another id",
        ) from error


def _options(configuration: Configuration) -> dict[str, Any]:
    wrong = Problems()
    with wrong.collect():
        executors = _executors(configuration)
    with wrong.collect():
        defaults = _defaults(configuration)
    wrong.complain()
    return {
        "name": configuration.name,
        "timezone": configuration.timezone,
        "modules": configuration.modules,
        "executors": executors,
        "job_defaults": defaults,
        "run_events": configuration.run_events,
        "blocked_hub_after": configuration.blocked_hub_after,
        "summary_every": configuration.summary_every,
    }


def _complete(scheduler: GeventScheduler, configuration: Configuration) -> None:
    """Give an application's scheduler the settings that only the configuration has."""
    if has_own_store(scheduler):
        _refuse_second_store(configuration)
    for alias, executor in _executors(configuration).items():
        with _naming(f"{configuration.path}: executors.{alias}"):
            scheduler.add_executor(executor, alias)
    _defaults(configuration)  # only declared jobs have them; this call finds the mistakes
    engine = engine_of(scheduler)
    for name in configuration.given & {"name", "blocked_hub_after", "summary_every", "run_events"}:
        setattr(engine, name, getattr(configuration, name))
    engine.log_runs()


def _add_notifiers(scheduler: GeventScheduler, configuration: Configuration) -> None:
    """Add the notifiers, for a runner only: a user who lists jobs need not be able to read the notifiers' secrets."""
    engine = engine_of(scheduler)
    if configuration.web_public_url is not None:
        engine.public_url = configuration.web_public_url
    if configuration.notifiers:
        from gsched.runner.declared_notifiers import read_notifiers  # few configurations have any

        for notifier in read_notifiers(configuration).values():
            with _naming(f"{configuration.path}: notify.{notifier.name}"):
                engine.add_notifier(notifier)


def _executors(configuration: Configuration) -> dict[str, BaseExecutor]:
    made, wrong = {}, Problems()
    for alias, table in configuration.executors.items():
        with wrong.collect(f"{configuration.path}: executors.{alias}: "):
            made[alias] = make_executor(table)
    wrong.complain()
    return made


def _defaults(configuration: Configuration) -> Mapping[str, Any]:
    wrong = Problems()
    for name, value in configuration.defaults.items():
        with wrong.collect(f"{configuration.path}: defaults: "):
            checked_defaults({name: value})
    wrong.complain()
    return configuration.defaults


@contextmanager
def _naming(where: str) -> Iterator[None]:
    try:
        yield
    except (ConfigurationError, InvalidJobError) as error:
        raise ConfigurationError(f"{where}: {error}") from None


def allowed_modules(configuration: Configuration, place: StoreChoice) -> list[str]:
    """The modules that stored references may name: those configured, and the application's own."""
    modules = list(configuration.modules)
    if configuration.app is not None:
        modules.append(configuration.app.partition(":")[0])
    if place.kind in ("embedded_mongodb", "sqlite"):  # only this user can write there
        modules.append(COMMANDS)
    return modules


def _refuse_second_store(configuration: Configuration) -> None:
    if configuration.store or configuration.embedded or configuration.embedded_mongodb or configuration.memory:
        raise ConfigurationError(
            f"app {configuration.app!r}: it has a job store of its own, and a store is configured, too; name one only"
        )


def _store_at(place: StoreChoice, configuration: Configuration) -> BaseJobStore:
    """The store at a place. Raises ConfigurationError, or EmbeddedMongoError if a private MongoDB does not start."""
    if place.kind == "memory":
        return MemoryJobStore(history_recent=configuration.history_recent)
    options: dict[str, Any] = {
        "modules": configuration.modules,
        "history_keep": configuration.history_keep,
        "history_successes": configuration.history_successes,
        "history_recent": configuration.history_recent,
        "node_ttl": configuration.node_ttl,
    }
    if place.kind == "sqlite":
        return _sqlite_at(place, configuration, options)
    from gsched.stores import MongoDBJobStore

    options["collection"] = configuration.collection
    if configuration.database is not None:
        options["database"] = configuration.database
    if configuration.store is not None:
        check_url(configuration.store, origin(configuration, "store"))
        return MongoDBJobStore(configuration.store, **options)
    return MongoDBJobStore.embedded(place.why, **options)


def _sqlite_at(place: StoreChoice, configuration: Configuration, options: Mapping[str, Any]) -> BaseJobStore:
    from gsched.stores import SQLJobStore

    for name in sorted(configuration.given & {"database", "collection"}):
        raise ConfigurationError(f"{origin(configuration, name)}: it is for MongoDB; the store is {place.why}")
    if configuration.store is None:
        return SQLJobStore.in_directory(os.path.dirname(place.why), **options)
    return SQLJobStore(f"sqlite:///{quote(place.why)}", **options)
