"""gsched notify."""

from __future__ import annotations

import click

from gsched.cli.options import PLACE, configured
from gsched.cli.output import Output, columns, output_options
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.shapes.notifiers import NOTIFIER
from gsched.wording import did_you_mean

COLUMNS = columns(NOTIFIER)


@click.group()
def notify() -> None:
    """Notifiers, which send messages about failures: list, test.

    A configuration file declares notifiers in its sections [notify.NAME].
    """


@notify.command("list")
@configured(*PLACE)
@output_options
def list_notifiers(configuration: Configuration, out: Output) -> None:
    """List the notifiers of the configuration file, and all others of the store. Shows whether messages get through."""
    from gsched.cli.open_store import open_store
    from gsched.notices.status import NotifierStatus

    with open_store(configuration) as scheduler:
        known = {status.name: status for status in scheduler.admin.get_notifiers()}
        names = sorted({*configuration.notifiers, *known})
        out.rows(COLUMNS, [known.get(name) or NotifierStatus(name) for name in names])


@notify.command()
@click.argument("notifier", metavar="NAME")
@configured("app")
def test(configuration: Configuration, notifier: str) -> None:
    """Send a test message through the notifier NAME. If it cannot be sent, the exit code is 1."""
    from gsched.notices.channels.channel import ChannelError
    from gsched.notices.sending import send_test
    from gsched.runner.declared_notifiers import known_notifiers

    known = known_notifiers(configuration)
    if notifier not in known:
        hint = did_you_mean(notifier, known) or (f"; there are {', '.join(known)}" if known else "")
        raise CommandRefused(f"no notifier has the name {notifier!r}{hint}", Exit.NOT_FOUND)
    where = known[notifier].channel.where()
    try:
        send_test(known[notifier], configuration.name, configuration.web_public_url)
    except ChannelError as error:
        raise CommandRefused(f"notifier {notifier!r} ({where}): {error}", Exit.FAILED) from None
    say(f"gsched: notifier {notifier!r}: a test message was sent to {where}", err=True)
