"""Mail: by SMTP, or by the machine's `sendmail`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gsched.errors import ConfigurationError
from gsched.notices.channels.channel import SECONDS, Channel, ChannelError, checked_text
from gsched.notices.channels.http import tls_context
from gsched.notices.channels.program import run_program
from gsched.notices.message import Message
from gsched.wording import did_you_mean

if TYPE_CHECKING:
    from email.message import EmailMessage
    from smtplib import SMTP

SENDMAIL: Final = "/usr/sbin/sendmail"

STARTTLS: Final = "starttls"
TLS: Final = "tls"
NONE: Final = "none"

_PORTS: Final = {STARTTLS: 587, TLS: 465, NONE: 25}
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_ADDRESS: Final = re.compile(r"[^\s<>@,;:\"()\[\]\\-][^\s<>@,;:\"()\[\]\\]*@[^\s<>@,;:\"()\[\]\\]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class Mail(Channel):
    """Sends mail through an SMTP server.

    :param host: the server's name or address
    :param to: the addresses of the recipients
    :param sender: the address in From
    :param port: the server's port; None: 587 with "starttls", 465 with "tls", 25 with "none"
    :param security: "starttls" and "tls" encrypt the connection and check the server's certificate; "none" does neither
    :param username: the login's name; None: no login
    :param password: the login's password; it is sent without encryption only to this machine itself
    :param ca_file: a file with the certificates to trust, in place of the system's
    :raises ConfigurationError: if an argument is wrong; the error names the argument
    """

    def __init__(
        self,
        host: str,
        to: Iterable[str],
        sender: str,
        *,
        port: int | None = None,
        security: str = STARTTLS,
        username: str | None = None,
        password: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        if security not in _PORTS:
            hint = did_you_mean(security, _PORTS) or f"; there are {', '.join(_PORTS)}"
            raise ConfigurationError(f"security: {security!r} is unknown{hint}")
        self._host = checked_text("host", host)
        self._to = checked_addresses("to", to)
        (self._sender,) = checked_addresses("sender", [sender])
        self._port = _PORTS[security] if port is None else _checked_port(port)
        self._security = security
        if (username is None) != (password is None):
            raise ConfigurationError("username and password: write both, or neither")
        self._login = None if username is None else (checked_text("username", username), _checked_password(password))
        if self._login is not None and security == NONE and host not in _LOOPBACK:
            raise ConfigurationError("security: a password is not sent without encryption; write starttls or tls")
        self._ca_file = ca_file
        self.secrets = () if self._login is None else (self._login[1], f"\0{self._login[0]}\0{self._login[1]}")

    def send(self, message: Message) -> None:
        mail = mail_of(message, self._to, self._sender)
        smtp = self._connected()
        try:
            if self._security == STARTTLS:
                smtp.starttls(context=tls_context(self._ca_file))
            if self._login is not None:
                smtp.login(*self._login)
            refused = smtp.send_message(mail, self._sender, self._to)
            with suppress(OSError):  # the server has taken the mail
                smtp.quit()
        finally:
            smtp.close()
        if refused:
            raise ChannelError(f"{self._host} refused {', '.join(refused)}")

    def _connected(self) -> SMTP:
        from smtplib import SMTP, SMTP_SSL  # few programs need it
        from socket import gethostname

        own = gethostname()  # smtplib's default asks the name service, which may take long
        if self._security == TLS:
            context = tls_context(self._ca_file)
            return SMTP_SSL(self._host, self._port, own, timeout=SECONDS, context=context)
        return SMTP(self._host, self._port, own, timeout=SECONDS)

    def where(self) -> str:
        return f"{', '.join(self._to)} by {self._host}"


class Sendmail(Channel):
    """Hands mail to the machine's mail system, as cron does.

    :param to: the addresses of the recipients, or names of users of this machine
    :param sender: the address in From; None: the mail system chooses it
    :param program: the path of `sendmail`; None: /usr/sbin/sendmail
    :raises ConfigurationError: if an argument is wrong; the error names the argument
    """

    def __init__(self, to: Iterable[str], *, sender: str | None = None, program: str | None = None) -> None:
        self._to = checked_addresses("to", to, takes_users=True)
        self._sender = None if sender is None else checked_addresses("sender", [sender], takes_users=True)[0]
        self._program = SENDMAIL if program is None else checked_text("program", program)

    def send(self, message: Message) -> None:
        run_program([self._program, "-i", "--", *self._to], bytes(mail_of(message, self._to, self._sender)), {})

    def where(self) -> str:
        return f"{', '.join(self._to)} by {self._program}"


def mail_of(message: Message, to: Sequence[str], sender: str | None) -> EmailMessage:
    """The message as mail. The subject is one line, whatever the scheduler's name is."""
    from email.message import EmailMessage  # few programs need it
    from email.utils import localtime, make_msgid

    mail = EmailMessage()
    mail["Subject"] = f"[{message.scheduler}] {message.subject}" if message.scheduler.isprintable() else message.subject
    mail["To"] = ", ".join(to)
    if sender is not None:
        mail["From"] = sender
    mail["Date"] = localtime()
    mail["Message-ID"] = make_msgid(domain="gsched.invalid")
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail


def checked_addresses(what: str, addresses: Iterable[str], takes_users: bool = False) -> tuple[str, ...]:
    """The mail addresses, at least one. Raises ConfigurationError for text that could be read as something else.

    :param takes_users: accept names of this machine's users, too
    """
    given = (addresses,) if isinstance(addresses, str) else addresses
    if not isinstance(given, Iterable) or not (found := tuple(given)):
        raise ConfigurationError(f"{what}: expected a list of addresses, got {addresses!r}")
    for each in found:
        is_address = isinstance(each, str) and each.isprintable() and each.isascii() and _ADDRESS.fullmatch(each)
        if not is_address and not (takes_users and isinstance(each, str) and _USER.fullmatch(each)):
            raise ConfigurationError(f"{what}: expected an address such as ops@example.com, got {each!r}")
    return found


def _checked_password(password: str | None) -> str:
    if not isinstance(password, str) or not password:
        raise ConfigurationError("password: expected a text")
    return password


def _checked_port(port: object) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65_536:
        raise ConfigurationError(f"port: expected a whole number from 1 to 65535, got {port!r}")
    return port
