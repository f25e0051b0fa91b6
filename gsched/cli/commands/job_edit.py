"""gsched job edit."""

from __future__ import annotations

import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import unified_diff
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from gsched.cli.arguments import job_argument, jobstore_option
from gsched.cli.chosen_jobs import COLUMNS
from gsched.cli.confirm import confirm, yes_option
from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.errors import ConfigurationError, GschedError
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.shapes.jobs import next_run_times

if TYPE_CHECKING:
    from gsched.cli.job_text import JobText
    from gsched.jobs.job import Job
    from gsched.schedulers.gevent import GeventScheduler
    from gsched.schedulers.handle import JobHandle

_SHOWN_NEXT: Final = 5
_HEAD: Final = """\
# To change the job, edit this file, save it and close the editor.
# The keys are those of a [[job]] entry. An option that is not in this file has its default.
"""
_NO_TOML: Final = "gsched job edit needs tomli-w, which is not installed"

_ELSEWHERE: Final = {
    "id": "gsched job rename gives a job another id",
    "jobstore": "remove the job, and add it to the other store",
    "enabled": "gsched job pause pauses a job",
}


class Edit(NamedTuple):
    """An edited text without mistakes.

    :ivar changes: the arguments of `modify_job`
    :ivar difference: the difference between the old and the new text, in lines
    :ivar job: the job after the change
    """

    changes: Mapping[str, Any]
    difference: list[str]
    job: Job


@click.command()
@job_argument
@configured(*PLACE)
@output_options
@yes_option
@jobstore_option
def edit(configuration: Configuration, out: Output, job_id: str, jobstore: str | None, yes: bool) -> None:
    """Edit a job as TOML text, in the editor that $VISUAL or $EDITOR names.

    Before the job is saved, the command shows the difference, shows the next run times if the trigger has changed, and
    asks. If the text has a mistake, the command names the mistake and opens the editor again. A job that somebody else
    has changed meanwhile is not saved.
    """
    if find_spec("tomli_w") is None:
        raise CommandRefused(_NO_TOML, Exit.INVALID, "pip install 'gsched[cli]'; or change the job with gsched job set")
    from gsched.cli.find_job import find_job
    from gsched.cli.open_store import open_store
    from gsched.cli.runners import warn_if_no_runner
    from gsched.runner.origins import OWNER

    with open_store(configuration) as scheduler:
        job = find_job(scheduler, job_id, jobstore)
        if (owner := job.metadata.get(OWNER)) is not None:
            say(f"gsched: {job.id!r} is declared in the file of {owner!r}, whose next start undoes this edit", err=True)
        editing = _Editing(scheduler, configuration, job.definition)
        with _file(editing.before.written()) as path:
            found = editing.edited(path)
            if not found.changes:
                say("gsched: no change", err=True)
                return
            for line in found.difference:
                say(line, err=True)
            if "trigger" in found.changes:
                for time in next_run_times(found.job, scheduler.clock.now_ms(), _SHOWN_NEXT):
                    say(f"due {time.isoformat(' ', 'seconds')}", err=True)
            confirm(f"Save {job.id!r}?", yes)
            out.rows(COLUMNS, [editing.save(found)])
        warn_if_no_runner(scheduler, job.jobstore)


class _Editing:
    """The edit of one job.

    :ivar before: the job as text, before the edit
    """

    def __init__(self, scheduler: GeventScheduler, configuration: Configuration, job: Job) -> None:
        from gsched.cli.job_text import job_text
        from gsched.runner.commands import RUN_COMMAND
        from gsched.schedulers.engine import engine_of

        self._scheduler = scheduler
        self._engine = engine_of(scheduler)
        self._configuration = configuration
        self._job = job
        self._plain = self._engine.build_job({"func": RUN_COMMAND, "args": ["true"], "trigger": job.trigger})
        self.before: JobText = job_text(job, self._plain)

    def edited(self, path: str) -> Edit:
        """Open the editor on the file, again and again, until its text has no mistake.

        :raises CommandRefused: for a text with a mistake, if there is no terminal on which to ask
        """
        while True:
            click.edit(filename=path)
            try:
                return self._understood(_read(path))
            except (GschedError, TypeError, ValueError) as error:
                if not sys.stdin.isatty():
                    raise CommandRefused(str(error), Exit.INVALID) from None
                say(f"gsched: {error}", err=True)
                click.confirm("Edit it again?", default=True, abort=True, err=True)

    def _understood(self, entry: Mapping[str, Any]) -> Edit:
        """The changes that the entry asks for. Raises GschedError for mistakes."""
        from gsched.cli.job_text import JobText, edited_keys, meant_changes
        from gsched.runner.declaration import entry_definition
        from gsched.runner.origins import OWNER
        from gsched.schedulers.verbs.change import modified

        edited = edited_keys(self.before.entry, entry)
        if not edited:
            return Edit({}, [], self._job)
        for key, remedy in _ELSEWHERE.items():
            if key in edited and key in entry:
                raise ConfigurationError(f"{key}: gsched job edit cannot change it; {remedy}")
        definition = entry_definition(entry, self._configuration, self._scheduler, imports="func" in edited)
        changes = meant_changes(edited, entry, definition, self._plain)
        if "metadata" in changes and OWNER in self._job.metadata:
            changes["metadata"] = {**changes["metadata"], OWNER: self._job.metadata[OWNER]}
        job = modified(self._engine, self._job, changes)
        before, after = (each.written().splitlines() for each in (self.before, JobText(entry, self.before.kept)))
        return Edit(changes, list(unified_diff(before, after, n=1, lineterm=""))[2:], job)

    def save(self, found: Edit) -> JobHandle:
        """Change the job in its store.

        :raises CommandRefused: if somebody else has changed the job since it was read
        """
        from gsched.schedulers.acting import act
        from gsched.schedulers.engine import modified_event
        from gsched.schedulers.handle import JobHandle
        from gsched.schedulers.verbs.change import modified

        seen, engine = self._job, self._engine

        def change(job: Job) -> Job:
            if job.rev != seen.rev:
                raise CommandRefused(f"somebody has changed {job.id!r} meanwhile", Exit.CONFLICT, "edit it again")
            return modified(engine, job, found.changes)

        done = act("job.change", engine.now_ms())
        return JobHandle(
            self._scheduler, engine, engine.change_job(seen.id, change, seen.jobstore, modified_event, done)
        )


def _read(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        return tomllib.load(file)


@contextmanager
def _file(text: str) -> Iterator[str]:
    """The path of a file with this text. Only this user can read the file: arguments may be secrets.

    If the edit fails, a file that was edited stays.
    """
    written = _HEAD + text
    descriptor, path = tempfile.mkstemp(prefix="gsched-", suffix=".toml")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(written)
    try:
        yield path
    except BaseException:
        with open(path, "rb") as file:
            is_edited = file.read() != written.encode()
        if is_edited:
            say(f"gsched: your text is kept in {path}", err=True)
        else:
            os.unlink(path)
        raise
    os.unlink(path)
