"""A web server with a scheduler inside: jobs and requests share one gevent hub, and the page shows what the jobs did.

    python examples/pywsgi_server.py            # then look at http://127.0.0.1:8000/
"""

# ruff: noqa: E402 - gevent patches before anything else is imported
from gevent import monkey

monkey.patch_all()

import argparse
import os
import signal
from collections import Counter
from collections.abc import Callable
from html import escape
from typing import Any

import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer

from gsched import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, GeventScheduler

PAGE = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="1"><title>Jobs</title>
<style>td, th {{ padding: 0.2em 1em; text-align: left }}</style>
<h1>Jobs of process {pid}</h1>
<table><tr><th>job<th>when<th>runs<th>last result<th>next run</tr>
{rows}
</table>
"""
ROW = "<tr><td>{}<td>{}<td>{}<td>{}<td>{}</tr>"


# -- the scheduling ---------------------------------------------------------------------------------------------------

scheduler = GeventScheduler()
runs: Counter[str] = Counter()
last_results: dict[str, str] = {}


@scheduler.scheduled_job("interval", seconds=1, id="load")
def load_average() -> str:
    return f"load average {os.getloadavg()[0]:.2f}"


@scheduler.scheduled_job("interval", seconds=5, id="disk")
def free_space() -> str:
    found = os.statvfs("/")
    return f"{found.f_bavail * found.f_frsize / 2**30:.1f} GiB free"


@scheduler.scheduled_job("cron", second="*/2", id="broken")
def broken() -> None:
    raise RuntimeError("a job that fails disturbs nobody")


def note(event: Any) -> None:
    runs[event.job_id] += 1
    last_results[event.job_id] = str(event.exception or event.retval)


scheduler.add_listener(note, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)


def main() -> None:
    options = parse_arguments()
    server = WSGIServer(("127.0.0.1", options.port), page, log=None)
    server.start()
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    scheduler.start()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    stop.wait(options.seconds)
    server.stop(timeout=1)
    scheduler.shutdown()


# -- the page ---------------------------------------------------------------------------------------------------------


def page(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """The WSGI application."""
    if environ["PATH_INFO"] != "/":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there is only /\n"]
    rows = "\n".join(row(job) for job in sorted(scheduler.get_jobs(), key=lambda job: job.id))
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE.format(pid=os.getpid(), rows=rows).encode()]


def row(job: Any) -> str:
    due = job.next_run_time
    cells = (job.id, job.trigger, runs[job.id], last_results.get(job.id, "-"), f"{due:%H:%M:%S}" if due else "-")
    return ROW.format(*(escape(str(cell)) for cell in cells))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0: any that is free")
    parser.add_argument("--seconds", type=float, help="end after so long (default: at Ctrl-C)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
