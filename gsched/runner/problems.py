"""Collects the errors in a configuration, so that users see all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gsched.errors import ConfigurationError, GschedError


class Problems(list[str]):
    """The errors, in the order in which they were found."""

    @contextmanager
    def collect(self, where: str = "") -> Iterator[None]:
        """Inside the block, an error ends the block and is collected, with `where` before it."""
        try:
            yield
        except (GschedError, TypeError) as error:
            self.append(f"{where}{error}")

    def complain(self) -> None:
        """Raises ConfigurationError with a line for each error, if there are any."""
        if self:
            raise ConfigurationError("\n".join(self))
