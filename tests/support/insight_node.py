"""A node for tests: `python insight_node.py URI DATABASE TTL [deaf]` runs jobs until TERM, or until it is asked to
drain, unless it is deaf to that. It ends with its parent."""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from gevent import monkey

monkey.patch_all()

import ctypes
import signal
import sys

import gevent

from gsched import EVENT_NODE_DRAIN_REQUESTED, EVENT_NODE_JOINED, GeventScheduler, MongoDBJobStore

ctypes.CDLL(None).prctl(1, signal.SIGKILL)
uri, database, ttl, *how = sys.argv[1:]
store = MongoDBJobStore(uri, database=database, modules=["insight_jobs"], node_ttl=float(ttl))
scheduler = GeventScheduler(jobstores={"default": store}, timezone="UTC")


def shut_down(*_: object) -> None:
    gevent.spawn(scheduler.shutdown)


def ask(event: object) -> None:
    print("asked to drain", flush=True)
    if "deaf" not in how:
        shut_down()


gevent.signal_handler(signal.SIGTERM, shut_down)
scheduler.add_listener(ask, EVENT_NODE_DRAIN_REQUESTED)
scheduler.add_listener(lambda event: print("joined as", event.node, flush=True), EVENT_NODE_JOINED)
scheduler.start()
scheduler.join()
