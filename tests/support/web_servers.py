"""A server with the dashboard below /ops/gsched: `python web_servers.py KIND PORT`. It ends with its parent.

As a module it has what gunicorn serves: the application, and the hooks that start and stop the scheduler.
"""

# ruff: noqa: E402  (gevent has to patch before anything else is imported)
from __future__ import annotations

import ctypes
import signal
import sys
from typing import Any

KIND = sys.argv[1] if __name__ == "__main__" else ""

if KIND == "pywsgi":
    from gevent import monkey

    monkey.patch_all()

import gevent

from gsched import AsyncIOScheduler, BackgroundScheduler, GeventScheduler
from gsched.web import User, create_app

PREFIX = "/ops/gsched"


def tick() -> None:
    """A job that fails now and then would do as well."""


def dashboard(scheduler: Any) -> Any:
    """The dashboard, in whose audit everybody is ops."""
    scheduler.add_job(tick, "interval", seconds=0.5, id="tick", replace_existing=True)
    return create_app(scheduler, authorize=lambda environ: User("ops"), title="test")


def mounted(app: Any, other: Any) -> Any:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(other, {PREFIX: app})


def nothing(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


# -- gunicorn -------------------------------------------------------------------------------------------------------


def of_gunicorn() -> Any:
    """What gunicorn calls in each worker: the application."""
    return mounted(dashboard(scheduler), nothing)


scheduler = BackgroundScheduler()


def post_worker_init(worker: Any) -> None:
    scheduler.start()


def worker_exit(server: Any, worker: Any) -> None:
    if scheduler.running:
        scheduler.shutdown(wait=False)


# -- alone ----------------------------------------------------------------------------------------------------------


def serve_flask(port: int) -> None:
    from flask import Flask

    app = Flask(__name__)
    app.wsgi_app = mounted(dashboard(scheduler), app.wsgi_app)  # type: ignore[method-assign]
    scheduler.start()
    app.run(port=port, threaded=True)


def serve_django(port: int) -> None:
    from django.conf import settings
    from django.core.servers.basehttp import WSGIServer, run
    from django.core.wsgi import get_wsgi_application

    settings.configure(DEBUG=True, SECRET_KEY="x", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__)
    app = mounted(dashboard(scheduler), get_wsgi_application())
    scheduler.start()
    run("127.0.0.1", port, app, threading=True, server_cls=WSGIServer)


urlpatterns: list[Any] = []


def serve_fastapi(port: int) -> None:
    from contextlib import asynccontextmanager

    import uvicorn
    from fastapi import FastAPI
    from fastapi.middleware.wsgi import WSGIMiddleware

    own = AsyncIOScheduler()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        own.start()
        yield
        await own.ashutdown(wait=False)

    app = FastAPI(lifespan=lifespan)
    app.mount(PREFIX, WSGIMiddleware(dashboard(own)))
    uvicorn.run(app, port=port)


def serve_pywsgi(port: int) -> None:
    from gevent.pywsgi import WSGIServer

    own = GeventScheduler()
    app = dashboard(own)
    own.start()
    server = WSGIServer(("127.0.0.1", port), mounted(app, nothing), log=None)

    def stop(*_: Any) -> None:
        app.close()
        server.stop(1)
        own.shutdown(wait=False)

    gevent.signal_handler(signal.SIGTERM, stop)
    server.serve_forever()


SERVERS = {
    "flask": serve_flask, "django": serve_django, "fastapi": serve_fastapi, "pywsgi": serve_pywsgi,
    "unpatched-pywsgi": serve_pywsgi,
}  # fmt: skip

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    SERVERS[KIND](int(sys.argv[2]))
