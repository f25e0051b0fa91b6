"""Dead man's switches: services such as healthchecks.io, which report a run that does not come or does not end."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_URL, uuid5

from gsched.notices.channels.channel import PerRunChannel
from gsched.notices.channels.http import post, target_of

_SUFFIXES: Final = {"started": "/start", "succeeded": "", "failed": "/fail", "tested": "/log"}
_LONGEST_BODY: Final = 10_000  # bytes


class Ping(PerRunChannel):
    """Reports each run to a service, in the protocol of healthchecks.io: URL/start, URL, URL/fail.

    :param url: of the check; who knows it can report, so that only the host's name is shown anywhere
    :param ca_file: a file with the certificates to trust, in place of the system's
    :raises ConfigurationError: if an argument cannot be right
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
