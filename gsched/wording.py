"""What others said or named, as it may stand in a line of ours."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 300  # of what a driver says, in characters
# What the driver adds to each address, and to all of them.
_NOISE: Final = re.compile(r" \(configured timeouts:[^)]*\)|, Timeout: [\d.]+s.*|, full error:.*", re.DOTALL)


def escaped(text: str) -> str:
    """Ids and messages may hold anything: what would move a cursor, or break a line in two, is shown escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def without_noise(said: str) -> str:
    """What a driver says, in a line, without its description of the whole topology, which fills a screen."""
    return _NOISE.sub("", " ".join(said.split()))[:_LONGEST]
