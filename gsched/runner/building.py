"""From a configuration to a scheduler: its stores, executors, defaults and application."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from gsched.config import Configuration, origin
from gsched.errors import ConfigurationError, EmbeddedMongoError, InvalidJobError, JobIdConflictError
from gsched.executors import BaseExecutor
from gsched.funcref import UnresolvedFunctions
from gsched.runner.application import load_application, look_here, working_directory
from gsched.runner.commands import COMMANDS
from gsched.runner.data_directory import data_directory
from gsched.runner.exits import CommandRefused, Exit
from gsched.runner.foreign_files import refuse_foreign_files
from gsched.runner.problems import Problems
from gsched.runner.store_url import check_url, shown_url
from gsched.scheduler import GeventScheduler
from gsched.scheduler_settings import checked_defaults, make_executor
from gsched.stores import BaseJobStore, MemoryJobStore

_GENERATED_ID: Final = re.compile(r"[0-9a-f]{32}")


class Place(NamedTuple):
    """Which job store it is.

    :ivar kind: mongodb, embedded, memory, or application: one of its own
    :ivar why: where that is, or why it was chosen, without passwords
    """

    kind: str
    why: str


def runner_scheduler(configuration: Configuration) -> tuple[GeventScheduler, Place]:
    """The scheduler that a runner starts: the application's, or a new one, completed from the configuration.

    What an application's scheduler sets itself stays. The configuration adds modules, executors and, where it has none,
    the job store; and what it says about names and logging counts.

    Raises ConfigurationError if the two contradict each other, the application cannot be loaded, or others may write
    what root's runner executes.
    """
    refuse_foreign_files(configuration)
    for module in configuration.modules:
        look_here(module)
    scheduler = load_application(configuration.app) if configuration.app is not None else None
    if scheduler is None:
        scheduler = GeventScheduler(**_options(configuration))
    else:
        _complete(scheduler, configuration)
    place = place_of(configuration, scheduler)
    scheduler.allow_modules(_modules(configuration, place))
    if place.kind != "application":
        _hand_over(scheduler, _store_at(place, configuration), configuration)
    return scheduler, place


def control_scheduler(configuration: Configuration, *, makes_store: bool = False) -> GeventScheduler:
    """A scheduler to look at jobs and change them; it is never started.

    An application's own, if that has a job store, else a new one, which resolves no functions.

    :param makes_store: make a private MongoDB where there is none
    :raises CommandRefused: if there is none, and none is to be made
    """
    from gsched.embedded import has_data

    own = None if configuration.app is None else load_application(configuration.app)
    if own is not None and _has_own_store(own):
        _refuse_second_store(configuration)
        return own
    scheduler = GeventScheduler(**_options(configuration), functions=UnresolvedFunctions())
    place = place_of(configuration, own)
    if place.kind == "embedded" and not makes_store and not has_data(place.why):
        raise CommandRefused(
            f"there is no private MongoDB in {place.why}",
            Exit.NOT_FOUND,
            "check the path; gsched run makes one, and gsched store init",
        )
    scheduler.add_jobstore(_store_at(place, configuration))
    return scheduler


def _hand_over(scheduler: GeventScheduler, store: BaseJobStore, configuration: Configuration) -> None:
    """Give the scheduler its store, and the store the jobs that an application has added until now."""
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
    """Give an application's scheduler what the configuration says and it does not."""
    if _has_own_store(scheduler):
        _refuse_second_store(configuration)
    for alias, executor in _executors(configuration).items():
        with _naming(f"{configuration.path}: executors.{alias}"):
            scheduler.add_executor(executor, alias)
    _defaults(configuration)  # they are for declared jobs; that they are right is looked at here
    for name in configuration.given & {"name", "blocked_hub_after", "summary_every"}:
        setattr(scheduler, name, getattr(configuration, name))
    scheduler.log_runs(configuration.run_events if "run_events" in configuration.given else scheduler.run_events)


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


def _modules(configuration: Configuration, place: Place) -> list[str]:
    """Where stored references may lead: an application's own module is one that we were told to run."""
    modules = list(configuration.modules)
    if configuration.app is not None:
        modules.append(configuration.app.partition(":")[0])
    if place.kind == "embedded":  # nobody but this user can write there
        modules.append(COMMANDS)
    return modules


def _has_own_store(scheduler: GeventScheduler) -> bool:
    return "default" in scheduler.stores and not scheduler.is_pending("default")


def _refuse_second_store(configuration: Configuration) -> None:
    if configuration.store or configuration.embedded or configuration.memory:
        raise ConfigurationError(
            f"app {configuration.app!r}: it has a job store of its own, and a store is configured, too; name one only"
        )


def _has_nameless_jobs(scheduler: GeventScheduler) -> bool:
    """Whether jobs wait for their store whose ids were made up: each start would add them once more."""
    return any(_GENERATED_ID.fullmatch(job.id) for job in scheduler.get_jobs(pending=True))


def place_of(configuration: Configuration, application: GeventScheduler | None) -> Place:
    """The one that is named, else a private MongoDB if there is a mongod, else memory.

    Raises ConfigurationError if the working directory was deleted: relative paths and commands count from there.
    """
    working_directory()
    if application is not None and _has_own_store(application):
        return Place("application", "its own")
    if configuration.store is not None:
        return Place("mongodb", shown_url(configuration.store))
    if configuration.memory:
        return Place("memory", "configured")
    if not configuration.embedded and not _has_mongod():
        return Place("memory", "there is no mongod for a private MongoDB")
    if not configuration.embedded and application is not None and _has_nameless_jobs(application):
        return Place("memory", "jobs of the application have no ids: elsewhere each start would add them once more")
    return Place("embedded", str(data_directory(configuration)))


def refuse_memory_for_many(configuration: Configuration, place: Place) -> None:
    """Raises ConfigurationError if several processes are to share jobs in memory."""
    if configuration.processes > 1:
        raise ConfigurationError(
            f"{configuration.processes} processes cannot share jobs in memory ({place.why}): each would run all of "
            "them; name a store, or run one process"
        )


def _store_at(place: Place, configuration: Configuration) -> BaseJobStore:
    """Raises ConfigurationError if it cannot be, EmbeddedMongoError for a private MongoDB that does not start."""
    if place.kind == "memory":
        return MemoryJobStore(history_recent=configuration.history_recent)
    from gsched.stores import MongoDBJobStore

    options: dict[str, Any] = {
        "collection": configuration.collection,
        "modules": configuration.modules,
        "history_keep": configuration.history_keep,
        "history_successes": configuration.history_successes,
        "history_recent": configuration.history_recent,
        "node_ttl": configuration.node_ttl,
    }
    if configuration.database is not None:
        options["database"] = configuration.database
    if configuration.store is not None:
        check_url(configuration.store, origin(configuration, "store"))
        return MongoDBJobStore(configuration.store, **options)
    return MongoDBJobStore.embedded(place.why, **options)


def _has_mongod() -> bool:
    """Whether there is a mongod for a private MongoDB."""
    from gsched.embedded import find_mongod

    try:
        find_mongod()
    except EmbeddedMongoError:
        return False
    return True
