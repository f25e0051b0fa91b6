"""A process with jobs of several kinds and the dashboard: `python web_world.py '{"jobs": 250}'`.

It ends with its parent.
The options: `store`, the address of a store (default: memory); `jobs`, how many that do nothing; `other`, how many in
a second store; `app`, options of `create_app`; `port`; `prefix`, below which the dashboard is mounted; `strips`: the
prefix of a proxy on `port` that takes it away and says so to nobody.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import ctypes
import json
import signal
import sys
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer

from gsched import CronTrigger, GeventScheduler, MemoryJobStore, MongoDBJobStore, SQLJobStore, current_run
from gsched.runner.crontab.reboot import END_OF_TIME
from gsched.web import create_app

HOSTILE = "<img src=x onerror=alert(1)>"
AWKWARD = "a/b?c#d&e=1 f"
SECRET = "hunter2hunter2"
counted: list[str] = []


def nothing() -> None:
    """Succeeds."""


def fails() -> None:
    raise ValueError(f"answer 503, password={SECRET}, {HOSTILE}")


def goes_on() -> None:
    """Prints a line a second, for an hour."""
    output = current_run().output
    assert output is not None
    for second in range(3600):
        output.add(f"\x1b[32msecond {second}\x1b[0m, password={SECRET}, {HOSTILE}\n".encode())
        gevent.sleep(1)


def count(what: str) -> None:
    counted.append(what)


def add_jobs(scheduler: GeventScheduler, many: int) -> None:
    def add(func: Any, trigger: Any, job_id: str, **options: Any) -> None:
        scheduler.add_job(func, trigger, id=job_id, replace_existing=True, **options)

    add(nothing, "interval", "ticks", seconds=1, tags=["busy"])
    add(fails, "interval", "fails", seconds=1, tags=["busy"])
    add(nothing, "interval", "overdue", days=1, tags=["late"], expect_success_every=0.5)
    add(goes_on, "interval", "goes-on", hours=1, tags=["long"], next_run_time="now", keep_output="64KiB")
    add(count, "interval", "counts", days=1, args=["run"], kwargs={}, tags=["calm"])
    add(nothing, "interval", "calm", days=1, tags=["calm"], group="calm ones")
    add(nothing, CronTrigger.from_crontab("30 0 1 * *", "Europe/Berlin"), "berlin", tags=["calm"])
    add(nothing, "interval", "reboot", days=1, tags=["start"], next_run_time=END_OF_TIME)
    for hostile in (HOSTILE, AWKWARD):
        add(fails, "interval", hostile, hours=1, tags=[hostile], name=hostile, metadata={"token": SECRET})
    scheduler.add_jobs(
        {"func": nothing, "trigger": "interval", "days": 2, "id": f"bulk-{number:06}", "tags": ["bulk"]}
        for number in range(many)
    )


def store_of(address: str | None) -> Any:
    if address is None:
        return MemoryJobStore()
    kind = SQLJobStore if address.startswith("sqlite") else MongoDBJobStore
    return kind(address, modules=[__name__], node_ttl=3)


def ours(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """How often the job `counts` has run."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(counted)).encode()]


def below(app: Any, prefix: str, *, says: bool) -> Any:
    """The application below a prefix.

    :param says: as frameworks mount, in SCRIPT_NAME; else as proxies do that strip
    """

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/counted":
            return ours(environ, start_response)
        if not path.startswith(prefix):
            start_response("404 Not Found", [])
            return [b""]
        environ["PATH_INFO"] = path[len(prefix) :]
        if says:
            environ["SCRIPT_NAME"] = prefix
        return app(environ, start_response)

    return mounted


def main() -> None:
    options = json.loads(sys.argv[1])
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    stores = {"default": store_of(options.get("store")), **({"other": MemoryJobStore()} if "other" in options else {})}
    scheduler = GeventScheduler(jobstores=stores, run_events="none")
    add_jobs(scheduler, options.get("jobs", 0))
    for number in range(options.get("other", 0)):
        scheduler.add_job(nothing, "interval", days=1, id=f"other-{number}", jobstore="other")
    scheduler.start()
    app = create_app(scheduler, **{"title": "world", **options.get("app", {})})
    prefix = options.get("prefix", "") or options.get("strips", "")
    served = below(app, prefix, says="strips" not in options)
    server = WSGIServer(("127.0.0.1", options.get("port", 0)), served, log=None, spawn=256)
    server.start()
    print(f'"web.opened", "address": "127.0.0.1:{server.server_port}"', flush=True)
    gevent.get_hub().join()


if __name__ == "__main__":
    main()
