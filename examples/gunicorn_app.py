"""A gunicorn application with a scheduler inside every worker.

    python examples/gunicorn_app.py                                    # two workers on port 8000
    gunicorn -c examples/gunicorn.conf.py gunicorn_app:app             # the same

The jobs of a memory store belong to their process: each worker has a scheduler of its own and runs its own copy of
every job. That is right for work on the process itself, as here: every worker keeps a copy of a settings file fresh, so
that no request reads the file. It is wrong for work that is to be done once, such as a mail every morning: four workers
would send four mails. Such jobs belong in a store that all workers share, a SQLite file or MongoDB: one worker gets
each run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gsched import GeventScheduler

SETTINGS = Path(os.environ.get("EXAMPLE_SETTINGS", Path(__file__).with_name("gunicorn_settings.json")))

scheduler = GeventScheduler()  # gunicorn.conf.py starts it in each worker, and shuts it down there
settings: dict[str, Any] = {}
refreshes = 0


@scheduler.scheduled_job("interval", seconds=0.5, id="refresh-settings")
def refresh_settings() -> None:
    """The job: bring this worker's copy up to date. If the file is broken the run fails, and the old copy stays."""
    global settings, refreshes
    settings = json.loads(SETTINGS.read_text())
    refreshes += 1


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """The WSGI application: what this worker knows."""
    body = json.dumps({"worker": os.getpid(), "settings": settings, "refreshes": refreshes}) + "\n"
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body.encode()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bind", default="127.0.0.1:8000", help="default: 127.0.0.1:8000")
    parser.add_argument("--workers", type=int, default=2, help="default: 2")
    parser.add_argument("--seconds", type=float, help="end after so long (default: at Ctrl-C)")
    options = parser.parse_args()
    conf = Path(__file__).with_name("gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "-c", str(conf), "-b", options.bind, "-w", str(options.workers)]
    gunicorn = subprocess.Popen([*command, "gunicorn_app:app"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: gunicorn.terminate())
    try:
        return gunicorn.wait(options.seconds)
    except subprocess.TimeoutExpired:
        gunicorn.terminate()
        return gunicorn.wait()


if __name__ == "__main__":
    sys.exit(main())
