"""What is wrong with what people wrote: collected, so that they learn of all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gsched.errors import ConfigurationError, GschedError


class Problems(list[str]):
    """What is wrong, in the order in which it was found."""

    @contextmanager
    def collect(self, where: str = "") -> Iterator[None]:
        """Inside the block, an error ends the block and is collected, with `where` before it."""
        try:
            yield
        except (GschedError, TypeError) as error:
            self.append(f"{where}{error}")

    def complain(self) -> None:
        """Raises ConfigurationError, with a line for each, if there are any."""
        if self:
            raise ConfigurationError("\n".join(self))
