"""Triggers: pure functions of time that give the instants at which a job is due."""

from gsched.triggers.base import BaseTrigger
from gsched.triggers.calendar_interval import CalendarIntervalTrigger
from gsched.triggers.combining import AndTrigger, OrTrigger
from gsched.triggers.cron import CronTrigger
from gsched.triggers.date import DateTrigger
from gsched.triggers.interval import IntervalTrigger
from gsched.triggers.reboot import RebootTrigger
from gsched.triggers.registry import trigger_fields, trigger_from_fields
from gsched.triggers.spread import SpreadTrigger

__all__ = [
    "AndTrigger",
    "BaseTrigger",
    "CalendarIntervalTrigger",
    "CronTrigger",
    "DateTrigger",
    "IntervalTrigger",
    "OrTrigger",
    "RebootTrigger",
    "SpreadTrigger",
    "trigger_fields",
    "trigger_from_fields",
]
