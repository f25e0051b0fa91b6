"""A Django site in one file, with a scheduler in the background.

    python examples/django_app.py runserver                            # on port 8000
    python examples/django_app.py check                                # any other command starts nothing

The jobs are in a SQLite file, which all processes share: one of them gets each run, however many there are. The
directory of the file is that of EXAMPLE_JOBS, or one for temporary files.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import close_old_connections
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from gsched import BackgroundScheduler, current_run

JOBS = os.environ.get("EXAMPLE_JOBS") or Path(tempfile.gettempdir(), f"gsched-django-{os.getuid()}")

if not settings.configured:
    settings.configure(
        DEBUG=True,
        SECRET_KEY="an example",
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        ROOT_URLCONF="django_app",
        INSTALLED_APPS=["django_app.Greetings"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        USE_TZ=True,
    )

scheduler = BackgroundScheduler.embedded(JOBS, modules=["django_app"])


def tick() -> None:
    """A recurring job."""
    close_old_connections()  # Django does so around requests, not around jobs
    try:
        print(f"{current_run().scheduled_at:%H:%M:%S.%f} tick in process {os.getpid()}", flush=True)
    finally:
        close_old_connections()


def greet(name: str) -> None:
    """A job that a request adds."""
    print(f"hello {name} from process {os.getpid()}", flush=True)


def start() -> None:
    """Call this once in each process that serves."""
    scheduler.start()
    scheduler.add_job(tick, "interval", seconds=0.5, id="tick", replace_existing=True)


class Greetings(AppConfig):
    name = "django_app"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        if os.environ.get("RUN_MAIN") == "true":  # in the process of runserver that serves, and in no other command
            start()


def show(request: HttpRequest) -> JsonResponse:
    jobs: dict[str, Any] = {job.id: job.next_run_time for job in scheduler.get_jobs()}
    return JsonResponse({"process": os.getpid(), "jobs": jobs})


@csrf_exempt
@require_POST
def add(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"added": scheduler.add_job(greet, args=[name]).id})


urlpatterns = [path("", show), path("greetings/<str:name>", add)]


if __name__ == "__main__":
    execute_from_command_line(sys.argv)
