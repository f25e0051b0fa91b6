"""Executes the Python blocks of pages, in one process for all of them, and prints what failed as JSON.

    python blocks.py PAGE...

If a page names a file above a block, this block and those that follow are in one module of that name. What a block does
not define is a stand-in: the reader's own functions, modules and web frameworks. `scheduler` is one that runs, with a
job for each id that the block's verbs name.
"""

# ruff: noqa: E402 - gevent patches before anything else is imported
from gevent import monkey

monkey.patch_all()

import ast
import builtins
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import flask
import gevent
from gevent.pywsgi import WSGIServer

import gsched
from gsched import BlockingScheduler, GeventScheduler
from gsched.schedulers.base import BaseScheduler

LONGEST_SECONDS = 60
BLOCK = re.compile(r"(?:^`(\w+)\.py`:\n+)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IDS = re.compile(r'(?:_job|explain|get_counters|instants)\(\s*"([\w-]+)"')
LASTS = (
    (GeventScheduler, "run_forever"),
    (BlockingScheduler, "start"),
    (WSGIServer, "serve_forever"),
    (flask.Flask, "run"),
)
READERS_MODULES = ("shop", "shop.jobs", "shop.models", "shop.tasks", "uwsgidecorators")
# Not executed, by a text in the block: why.
LEFT_OUT = {
    "admin.follow()": "goes on for ever, and needs a database; tests/stores have it",
    "embedded_mongodb(": "starts a server",
    "get_wsgi_application()": "part of a Django site; the tutorial has a whole one",
}


def stand_in(*_args: Any, **_options: Any) -> Any:
    """A function of the reader's, or what it returns."""
    return stand_in


stand_in.wsgi_app = stand_in.serve_forever = stand_in  # type: ignore[attr-defined]


class ReadersModule(ModuleType):
    """A module of the reader's: it has every name."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in


def blocks(page: str) -> Iterator[tuple[ModuleType, str]]:
    """The blocks, each with the module that it is in."""
    module = ModuleType("block")
    for name, text in BLOCK.findall(page):
        if name or module.__name__ == "block":  # what follows a file on a page is in that file
            module = ModuleType(name or "block")
        sys.modules[module.__name__] = module
        yield module, text.replace('"/var/lib/', '"lib/').replace("50_000", "500")


def names_for(text: str) -> dict[str, Any]:
    """What the block may use beside its own names."""
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)} - set(dir(builtins))
    names = {name: getattr(gsched, name) if name in gsched.__all__ else stand_in for name in used}
    return {**names, "gsched": gsched, "urls": ["a", "b"], "keys": ["a"]}


def scheduler_for(text: str) -> GeventScheduler:
    scheduler = GeventScheduler(timezone="UTC")
    scheduler.start()
    for job_id in set(IDS.findall(text)) - set(re.findall(r'\bid="([\w-]+)"', text)):
        scheduler.add_job(stand_in, "interval", hours=1, id=job_id)
    return scheduler


def failures(path: str) -> Iterator[str]:
    """What went wrong in a page."""
    for module, text in blocks(Path(path).read_text()):
        if any(part in text for part in LEFT_OUT):
            continue
        own = vars(module)
        own.update({name: value for name, value in names_for(text).items() if name not in own})
        begun = own["scheduler"] = scheduler_for(text)
        try:
            with gevent.Timeout(LONGEST_SECONDS):
                exec(compile(text, path, "exec"), own)
                for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE):
                    own.get("calls", []).clear()
                    own[name]()
        except BaseException as error:
            yield f"{Path(path).name}: {text.splitlines()[0]}: {error!r}"
        for scheduler in {begun, own["scheduler"]}:
            if isinstance(scheduler, BaseScheduler) and scheduler.running:
                scheduler.shutdown(wait=False)


def main() -> None:
    for kind, verb in LASTS:
        setattr(kind, verb, lambda *_args, **_options: None)
    sys.modules.update({name: ReadersModule(name) for name in READERS_MODULES})
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        wrong = [failure for path in sys.argv[1:] for failure in failures(path)]
        print(json.dumps(wrong), flush=True)
    os._exit(0)  # threads of jobs may still wait


if __name__ == "__main__":
    main()
