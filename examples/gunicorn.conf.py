"""Settings for gunicorn_app: when the scheduler inside each worker starts and stops."""

from pathlib import Path

bind = "127.0.0.1:8000"
workers = 2
worker_class = "gevent"
chdir = str(Path(__file__).parent)
graceful_timeout = 10


def post_worker_init(worker):
    """In the worker, when gevent has patched and the application is loaded. (In post_fork nothing is patched yet.)"""
    from gunicorn_app import refresh_settings, scheduler

    refresh_settings()  # so that the first request finds settings
    scheduler.start()


def worker_exit(server, worker):
    """Let runs in progress end before the worker does."""
    from gunicorn_app import scheduler

    if scheduler.running:
        cut = scheduler.shutdown(timeout=5)
        worker.log.info("scheduler of worker %d is shut down, %d runs cut", worker.pid, len(cut))
