"""A Flask application with a scheduler in the background: jobs run in threads, beside the requests.

    python examples/flask_app.py                                       # Flask's own server, on port 8000
    python examples/flask_app.py --debug                               # with its reloader and debugger
    gunicorn -c examples/flask_gunicorn.conf.py flask_app:app          # two workers with four threads each

The jobs are in a SQLite file, which all processes share: one of them gets each run, however many there are. The
directory of the file is that of EXAMPLE_JOBS, or one for temporary files.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from flask import Flask

from gsched import BackgroundScheduler, current_run

JOBS = os.environ.get("EXAMPLE_JOBS") or Path(tempfile.gettempdir(), f"gsched-flask-{os.getuid()}")

app = Flask(__name__)
scheduler = BackgroundScheduler.embedded(JOBS, modules=["flask_app"])


def tick() -> None:
    """A recurring job."""
    with app.app_context():  # for url_for, flask_sqlalchemy and the like
        print(f"{current_run().scheduled_at:%H:%M:%S.%f} tick in process {os.getpid()}", flush=True)


def greet(name: str) -> None:
    """A job that a request adds."""
    print(f"hello {name} from process {os.getpid()}", flush=True)


def start() -> None:
    """Call this once in each process that serves."""
    scheduler.start()
    scheduler.add_job(tick, "interval", seconds=0.5, id="tick", replace_existing=True)


@app.get("/")
def show() -> dict[str, Any]:
    return {"process": os.getpid(), "jobs": {job.id: str(job.next_run_time) for job in scheduler.get_jobs()}}


@app.post("/greetings/<name>")
def add(name: str) -> dict[str, str]:
    return {"added": scheduler.add_job(greet, args=[name]).id}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--debug", action="store_true", help="with Flask's reloader and debugger")
    options = parser.parse_args()
    if not options.debug or os.environ.get("WERKZEUG_RUN_MAIN") == "true":  # not in the reloader's own process
        start()
    app.run(port=options.port, debug=options.debug)


if __name__ == "__main__":
    from flask_app import main  # stored jobs name their module, and `__main__` is another one in each program

    main()
