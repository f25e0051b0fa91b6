"""Dead man's switches: services such as healthchecks.io, which alert when a run does not begin or does not end."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_URL, uuid5

from gsched.notices.channels.channel import PerRunChannel
from gsched.notices.channels.http import post, target_of

_SUFFIXES: Final = {"started": "/start", "succeeded": "", "failed": "/fail", "tested": "/log"}
_LONGEST_BODY: Final = 10_000  # bytes


class Ping(PerRunChannel):
    """Reports each run to a service such as healthchecks.io: URL/start when it begins, URL or URL/fail when it ends.

    :param url: the URL of the check. Whoever knows it can report, so logs and errors show only its host
    :param ca_file: a file with the certificates to trust, in place of the system's
    :raises ConfigurationError: if an argument is wrong; the error names the argument
    """

    def __init__(self, url: str, *, ca_file: str | None = None) -> None:
        self._target = target_of("url", url)
        self._ca_file = ca_file
        self.secrets = self._target.secrets

    def report(self, state: str, run_id: str, text: str) -> None:
        query = f"rid={uuid5(NAMESPACE_URL, f'gsched:{run_id}')}" if run_id else ""
        target = self._target.with_path(_SUFFIXES[state], query)
        post(target, text.encode(errors="replace")[:_LONGEST_BODY], {"Content-Type": "text/plain"}, self._ca_file)

    def where(self) -> str:
        return self._target.host
