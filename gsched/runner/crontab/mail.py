"""MAILTO of crontabs: mails output and failures through the machine's mail system, as cron does."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gsched.notices import Notifier, Sendmail
from gsched.notices.channels import mail
from gsched.notices.notice import FAILED, LOST, OUTPUT
from gsched.runner.crontab.jobs import MAIL
from gsched.runner.crontab.lines import CrontabEntry
from gsched.schedulers.engine import engine_of
from gsched.schedulers.gevent import GeventScheduler


def add_mail_notifiers(scheduler: GeventScheduler, entries: Iterable[CrontabEntry]) -> None:
    """Give the scheduler a notifier for each MAILTO of these entries, unless it has one.

    Without a mail system nothing is mailed, as with cron.
    """
    if not os.access(mail.SENDMAIL, os.X_OK):
        return
    engine = engine_of(scheduler)
    for address in dict.fromkeys(address for entry in entries for address in entry.mail_to):
        name = MAIL + address
        if name not in engine.notifiers:
            engine.call(engine.add_notifier, mail_notifier(name, address))


def mail_notifier(name: str, address: str) -> Notifier:
    """A notifier that mails output and failures of the jobs that name it."""
    return Notifier(name, Sendmail([address]), events=[FAILED, LOST, OUTPUT], all_jobs=False)
