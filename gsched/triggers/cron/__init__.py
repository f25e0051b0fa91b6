"""By the clock on the wall: APScheduler's cron fields and standard crontab lines."""

from gsched.triggers.cron.trigger import CronTrigger

__all__ = ["CronTrigger"]
