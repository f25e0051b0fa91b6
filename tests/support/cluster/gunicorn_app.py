"""For `gunicorn -k gevent`: an application whose workers all embed a scheduler on one store.

The environment variable NODE has the settings of the node program, but for the name.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The web application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def post_worker_init(worker: Any) -> None:
    """In the worker, when gevent has patched."""
    from cluster.node import Settings, make_scheduler

    global scheduler
    name = f"worker-{worker.pid}"
    scheduler = make_scheduler(Settings(name=name, **json.loads(os.environ["NODE"])))
    scheduler.start()


def worker_exit(server: Any, worker: Any) -> None:
    """Hand the jobs over."""
    scheduler.shutdown(timeout=5)
