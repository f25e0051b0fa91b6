"""gsched notify."""

from __future__ import annotations

import click

from gsched.cli.options import configured
from gsched.cli.printing import say
from gsched.config import Configuration
from gsched.runner.exit_codes import CommandRefused, Exit
from gsched.wording import did_you_mean


@click.group()
def notify() -> None:
    """The notifiers, which tell people of failures: list, test.

    A configuration file declares them in its sections [notify.NAME].
    """


@notify.command()
@click.argument("notifier", metavar="NAME")
@configured("app")
def test(configuration: Configuration, notifier: str) -> None:
    """Send a test message through the notifier NAME. The exit code is 1 if it cannot be sent."""
    from gsched.event_loop.patch import patch_all

    patch_all()
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
