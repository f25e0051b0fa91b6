"""Settings for flask_app: the scheduler starts in each worker, with --preload, too."""

from pathlib import Path

bind = "127.0.0.1:8000"
workers = 2
threads = 4
chdir = str(Path(__file__).parent)


def post_worker_init(worker):
    from flask_app import start

    start()


def worker_exit(server, worker):
    from flask_app import scheduler

    if scheduler.running:
        scheduler.shutdown(timeout=5)
