"""Reads crontabs, as crontab(5) of Debian's cron describes them: gives the entries and the mistakes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final, NamedTuple

from gsched.errors import ConfigurationError, InvalidTriggerError
from gsched.files.text import check_encoding, shown
from gsched.notices.channels import mail
from gsched.notices.channels.mail import checked_addresses
from gsched.runner.crontab.doubts import doubts_about_command, doubts_about_user, suspected_user, why_foreign
from gsched.times.instants import as_timezone
from gsched.triggers import BaseTrigger, CronTrigger
from gsched.triggers.reboot import RebootTrigger

_SETTING = re.compile(r"""("[^"]*"|'[^']*'|[^\s"'=]+)[ \t]*=[ \t]*(.*)""")
_QUOTED = re.compile(r"""(["'])(.*?)\1(.*)""")
_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*\$?")
_PERCENT = re.compile(r"\\.|%", re.DOTALL)
_UNSUPPORTED: Final = {
    "MAILFROM": "not supported: the mail system chooses the sender",
    "CONTENT_TYPE": "not supported: mail is plain text",
    "CONTENT_TRANSFER_ENCODING": "not supported: mail is plain text",
    "LOGNAME": "it is always the name of the user that runs the command, as with cron",
    "USER": "it is always the name of the user that runs the command, as with cron",
    "RANDOM_DELAY": "not supported: give the jobs a jitter",
    "START_HOURS_RANGE": "not supported",
}


@dataclass(frozen=True)
class CrontabEntry:
    """A command of a crontab.

    :ivar schedule: the time fields or the nickname, as written
    :ivar stdin: the text after a %, which the command reads; None without a %
    :ivar env: the variables that lines above set, without SHELL
    :ivar user: the user whom the line of a system crontab names; else None
    :ivar mail_to: the addresses or users that MAILTO above names
    """

    line: int
    schedule: str
    trigger: BaseTrigger
    command: str
    stdin: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    shell: str = "/bin/sh"
    user: str | None = None
    mail_to: tuple[str, ...] = ()

    @property
    def is_reboot(self) -> bool:
        return isinstance(self.trigger, RebootTrigger)


class Remark(NamedTuple):
    """Something about a line: an error or a warning."""

    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text!r}: {self.reason}"


@dataclass(frozen=True)
class Crontab:
    """A crontab's entries. `errors` has every line with a mistake."""

    entries: list[CrontabEntry] = field(default_factory=list)
    errors: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)


def read_crontab(text: str, *, system: bool = False, timezone: str | tzinfo | None = None) -> Crontab:
    """Read a crontab.

    :param system: lines have the user's name before the command, as in /etc/crontab and /etc/cron.d
    :param timezone: the zone of the schedules above the first CRON_TZ; default: this machine's
    """
    reader = _Reader(system, as_timezone(timezone))
    for number, line in enumerate(text.split("\n"), 1):
        reader.read(number, line.strip(" \t\r"))
    if not system:
        reader.suspect_users()
    return reader.crontab


class _Reader:
    """Reads line after line; settings count for the lines below them."""

    def __init__(self, system: bool, timezone: tzinfo) -> None:
        self.crontab = Crontab()
        self._system = system
        self._timezone: tzinfo | None = timezone  # None: below a CRON_TZ that is not known
        self._shell = "/bin/sh"
        self._env: dict[str, str] = {}
        self._mail_to: tuple[str, ...] = ()

    def read(self, number: int, line: str) -> None:
        if not line or line.startswith("#"):
            return
        try:
            check_encoding(line)
            if "\0" in line:
                raise ConfigurationError("it has a NUL character")
            if match := _SETTING.fullmatch(line):
                self._set(_unquoted(match[1]), _value(match[2]), number, line)
            else:
                self._add(number, line)
        except (InvalidTriggerError, ConfigurationError) as error:
            self.crontab.errors.append(Remark(number, shown(line), str(error).removeprefix("crontab: ")))

    def suspect_users(self) -> None:
        """Warn if the commands seem to begin with a user's name."""
        entries = [entry for entry in self.crontab.entries if entry.command]
        name = suspected_user([entry.command for entry in entries]) if entries else None
        named = [entry for entry in entries if entry.command.split(None, 1)[0] in ("root", name)]
        self.crontab.warnings.extend(Remark(entry.line, entry.command, _said_of_user(entry)) for entry in named)

    def _set(self, name: str, value: str, number: int, line: str) -> None:
        if not name or "=" in name:
            raise ConfigurationError(f"{name!r} cannot be a variable's name")
        if name == "CRON_TZ":
            self._timezone = None
            self._timezone = as_timezone(value)
        elif name == "SHELL":
            self._shell = value
        elif name == "MAILTO":
            self._mail_to, doubts = _recipients(value)
            self.crontab.warnings.extend(Remark(number, line, f"MAILTO: no mail is sent: {why}") for why in doubts)
        elif name not in _UNSUPPORTED:
            self._env[name] = value
        self.crontab.warnings.extend(Remark(number, line, why) for why in _doubts_about_setting(name, value))

    def _add(self, number: int, line: str) -> None:
        if (reason := why_foreign(line)) is not None:
            raise InvalidTriggerError(reason)
        schedule, rest = _split(line)
        if self._timezone is None:
            raise ConfigurationError("its time zone, CRON_TZ above, is not known")
        trigger = CronTrigger.from_crontab(schedule, self._timezone)
        if not isinstance(trigger, RebootTrigger) and trigger.for_job(schedule).next_ms(0) is None:
            raise InvalidTriggerError("never due: there is no such day")
        user = None
        if self._system:
            user, rest = _user_first(rest)
        if not rest:
            raise InvalidTriggerError("there is no command")
        command, percent, stdin = _at_percent(rest)
        doubts = [*doubts_about_user(user), *doubts_about_command(command, bool(percent))]
        self.crontab.warnings.extend(Remark(number, line, why) for why in doubts)
        entry = CrontabEntry(
            number, schedule, trigger, command, stdin if percent else None, dict(self._env), self._shell, user,
            self._mail_to,
        )  # fmt: skip
        self.crontab.entries.append(entry)


def _said_of_user(entry: CrontabEntry) -> str:
    user = entry.command.split(None, 1)[0]
    return f"the command begins with {user!r}, a user: a system crontab is read with --system"


def _doubts_about_setting(name: str, value: str) -> Iterator[str]:
    if name in _UNSUPPORTED:
        yield f"{name}: {_UNSUPPORTED[name]}"
    elif "$" in value and name != "MAILTO":
        yield "'$' stands for itself: variables are not replaced in values, as with cron"


def _recipients(value: str) -> tuple[tuple[str, ...], list[str]]:
    """The addresses and users in a MAILTO, and the reasons if they get no mail."""
    written = [part.strip() for part in value.split(",") if part.strip()]
    if not written:
        return (), []
    try:
        recipients = checked_addresses("MAILTO", written, takes_users=True)
    except ConfigurationError as error:
        return (), [str(error).removeprefix("MAILTO: ")]
    return recipients, [] if os.access(mail.SENDMAIL, os.X_OK) else [f"this machine has no {mail.SENDMAIL}"]


def _split(line: str) -> tuple[str, str]:
    """The time fields, and the rest of the line."""
    count = 1 if line.startswith("@") else 5
    parts = line.split(None, count)
    if len(parts) < count:
        raise InvalidTriggerError("expected minute, hour, day of month, month, day of week and a command")
    return " ".join(parts[:count]), parts[count] if len(parts) > count else ""


def _user_first(text: str) -> tuple[str, str]:
    user, command = (*text.split(None, 1), "", "")[:2]
    if user and not _USER_NAME.fullmatch(user):
        raise InvalidTriggerError(f"{user!r} is not a user's name, which a system crontab has before the command")
    return user, command


def _at_percent(text: str) -> tuple[str, str, str]:
    """The command, "%" if there is one, and the input after it. Each further % is a new line, and `\\%` is a %."""
    text = _PERCENT.sub(lambda found: {"%": "\n", "\\%": "%"}.get(found[0], found[0]), text)
    command, percent, stdin = text.partition("\n")
    return command.strip(" \t"), percent, stdin if stdin.endswith("\n") else f"{stdin}\n"


def _value(text: str) -> str:
    """A setting's value. Raises ConfigurationError for text after a quoted value, which cron refuses, too."""
    if not text.startswith(("'", '"')):
        return text
    match = _QUOTED.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"the quote that begins its value, {text[0]}, is not closed")
    if match[3].strip():
        raise ConfigurationError("there is more behind the quotes of its value: a comment stands on a line of its own")
    return match[2]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
