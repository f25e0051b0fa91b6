"""Cron triggers: APScheduler's fields, standard crontab lines, and the search for the next time."""

from gsched.triggers.cron.trigger import CronTrigger

__all__ = ["CronTrigger"]
