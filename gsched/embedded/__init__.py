"""A private MongoDB in a data directory, for people who have none: a one-node replica set that lives while it is used.

Every process that opens the same directory shares one mongod; when the last one closes it, ends or is killed, mongod
is shut down. See gsched/embedded/guardian.py for how that survives crashes.
"""

from __future__ import annotations

from gsched.errors import EmbeddedMongoError, EmbeddedMongoUnusableError
from gsched.platforms import require_posix

require_posix("a private MongoDB", EmbeddedMongoUnusableError)

from gsched.embedded.binary import find_mongod  # noqa: E402  # what they import, Windows has not
from gsched.embedded.handle import EmbeddedMongo, open_embedded  # noqa: E402

__all__ = ["EmbeddedMongo", "EmbeddedMongoError", "find_mongod", "open_embedded"]
