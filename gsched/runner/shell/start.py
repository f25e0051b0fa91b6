"""How the process of a command starts: as this process's own user, or as another one.

No program that still has root's rights may see another user's variables: with LD_PRELOAD it would run that user's code.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gsched.errors import ConfigurationError
from gsched.runner.shell.limits import CommandLimits
from gsched.runner.shell.process import Start

# Both shells wait for a line or a script from their pipe, and close the pipe before the program runs.
_AFTER_A_LINE: Final = 'read -r line <&3 || exit\n%sexec "$0" "$@" 3<&-'
_AFTER_A_SCRIPT: Final = ("/bin/sh", "-s", "--")
_LAST_LINE: Final = b'exec "$@" <&3 3<&-\n'
_OF_ROOTS_PROGRAMS: Final = {"PATH": "/usr/bin:/bin"}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what a shell can export


def as_ourselves(arguments: Sequence[str], variables: Mapping[str, str], limits: CommandLimits) -> Start:
    """The start of a program as this process's own user.

    :param arguments: the program and its arguments
    :param variables: the program's environment
    """
    waiting = ("/bin/sh", "-c", _AFTER_A_LINE % limits.script())
    return Start([*waiting, *limits.prefix(), *arguments], variables, b"\n", opens_on_stdin=False)


def as_another_user(
    account: pwd.struct_passwd, arguments: Sequence[str], variables: Mapping[str, str], limits: CommandLimits
) -> Start:
    """The start of a program as another user, with that user's groups and without root's privileges.

    `setpriv` changes the user first. Then a shell, which has only that user's rights, reads a script that sets the
    variables and the limits.

    :param arguments: the program and its arguments
    :param variables: the program's environment
    :raises ConfigurationError: if this process may not change users, or a shell cannot export a variable
    """
    change = [_setpriv(account), f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
    script = b"".join(_exports(variables)) + limits.script().encode() + _LAST_LINE
    return Start(
        [*change, "--inh-caps=-all", "--", *_AFTER_A_SCRIPT, *limits.prefix(), *arguments],
        _OF_ROOTS_PROGRAMS,
        script,
        opens_on_stdin=True,
    )


def _setpriv(account: pwd.struct_passwd) -> str:
    found = shutil.which("setpriv")
    if os.getuid() != 0 or found is None:
        need = "only root can run commands as another user" if found else "setpriv (of util-linux) is not installed"
        raise ConfigurationError(f"user {account.pw_name!r}: {need}")
    return found


def _exports(variables: Mapping[str, str]) -> Iterator[bytes]:
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ConfigurationError(
                f"env: {name!r} cannot be a variable of another user's command; write letters, digits and _ only"
            )
        yield os.fsencode(f"export {name}={shlex.quote(value)}\n")
