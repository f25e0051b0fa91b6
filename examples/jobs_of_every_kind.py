"""Jobs of every kind, for a look at the dashboard.

    python examples/jobs_of_every_kind.py                # 127.0.0.1:8789, the jobs in memory, until Ctrl-C

They succeed, fail, retry, overlap, take long, share a limit, and are paused, parked and overdue.
"""

# ruff: noqa: E402 - gevent patches before anything else is imported
from gevent import monkey

monkey.patch_all()

import argparse
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer

from gsched import CronTrigger, GeventScheduler, MemoryJobStore, acting, current_run
from gsched.schedulers.base import BaseScheduler
from gsched.web import create_app

SHOPS = ("acme", "initech", "stark", "umbrella", "wayne")


def refresh_prices(shop: str) -> str:
    """Takes a quarter of a second; one in fifty fails."""
    gevent.sleep(random.lognormvariate(-1.4, 0.3))
    if random.random() < 0.02:
        raise ConnectionError(f"{shop} answered 503 after {random.randint(100, 900)} ms")
    return shop


def poll_feed(url: str, *, token: str = "") -> int:
    gevent.sleep(random.lognormvariate(-2.5, 0.5))
    return len(url) + len(token)


def always_fails(host: str) -> None:
    gevent.sleep(0.1)
    raise TimeoutError(f"{host}: read timed out after 3.0 s")


def fails_twice() -> None:
    """Its third attempt succeeds."""
    gevent.sleep(0.2)
    if current_run().attempt < 3:
        raise ConnectionResetError("connection reset by peer")


def takes_long(seconds: float) -> None:
    gevent.sleep(seconds)


def set_limits(scheduler: BaseScheduler) -> None:
    """At most two crawlers run at once."""
    scheduler.set_limit("crawlers", concurrency=2)


def add_jobs(scheduler: BaseScheduler, jobstore: str = "default", shops: tuple[str, ...] = SHOPS) -> None:
    """Add all of them.

    :param shops: each has a few jobs
    """

    def add(func: Any, trigger: Any, job_id: str, **options: Any) -> None:
        scheduler.add_job(func, trigger, id=job_id, jobstore=jobstore, replace_existing=True, **options)

    for number, shop in enumerate(shops):
        add(refresh_prices, "interval", f"refresh-prices-{shop}", seconds=3 + number, args=[shop], tags=["prices"])
        add(poll_feed, "interval", f"poll-feed-{shop}", seconds=7, jitter=2, args=[f"https://{shop}.example/feed"],
            kwargs={"token": f"secret-of-{shop}"}, tags=["feeds"])  # fmt: skip
        add(takes_long, "interval", f"crawl-{shop}", seconds=4, args=[1.5], tags=["crawl"], group="crawlers")
    add(always_fails, "interval", "sync-warehouse", seconds=6, args=["10.0.4.17"], tags=["stock"])
    add(always_fails, "interval", "sync-warehouse-old", seconds=2, args=["10.0.4.18"], tags=["stock"],
        max_consecutive_failures=3)  # fmt: skip
    add(fails_twice, "interval", "send-invoices", seconds=10, retries=3, retry_delay=1, tags=["billing"])
    add(takes_long, "interval", "rebuild-index", seconds=4, args=[9], tags=["search"])
    add(takes_long, "interval", "export-orders", seconds=5, args=[20], timeout=12, max_instances=2, tags=["billing"])
    add(takes_long, "interval", "mirror-images", seconds=5, args=[8], overlap="cancel", tags=["images"])
    add(takes_long, "interval", "thumbnails", seconds=5, args=[6], overlap="queue", tags=["images"])
    add(always_fails, "interval", "nightly-backup-check", seconds=30, args=["backup-1"], expect_success_every=20,
        tags=["backup"])  # fmt: skip
    add(poll_feed, CronTrigger.from_crontab("30 2 * * *", "Europe/Berlin"), "nightly-backup", args=["backup"],
        tags=["backup"])  # fmt: skip
    add(poll_feed, CronTrigger.from_crontab("*/15 8-18 * * mon-fri", "Europe/Berlin"), "office-report",
        args=["report"], tags=["reports"])  # fmt: skip
    add(poll_feed, CronTrigger.from_crontab("0 7 * * *", "Europe/Berlin"), "send-newsletter", args=["newsletter"],
        tags=["mail"])  # fmt: skip
    in_a_month = datetime.now(UTC) + timedelta(days=30)
    add(poll_feed, "date", "renew-certificate", run_date=in_a_month, args=["certificate"])
    add(poll_feed, "interval", "poll-supplier", seconds=5, args=["https://supplier.example"], tags=["feeds"])
    with acting("maria", via="api", reason="the supplier asked us to stop until Monday"):
        scheduler.pause_job("poll-supplier", jobstore=jobstore)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8789, help="of the dashboard (default: 8789; 0: any free one)")
    options = parser.parse_args()
    scheduler = GeventScheduler(jobstores={"default": MemoryJobStore()}, run_events="none")
    set_limits(scheduler)
    add_jobs(scheduler)
    scheduler.start()
    server = WSGIServer(("127.0.0.1", options.port), create_app(scheduler, title="examples"), log=None, spawn=256)
    server.start()
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        scheduler.shutdown(wait=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
