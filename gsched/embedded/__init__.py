"""A private MongoDB in a data directory, for people who have none: a one-node replica set that lives while it is used.

Every process that opens the same directory shares one mongod; when the last one closes it, ends or is killed, mongod
is shut down. See gsched/embedded/guardian.py for how that survives crashes.
"""

from __future__ import annotations

from gsched.embedded.binary import find_mongod
from gsched.embedded.handle import EmbeddedMongo, has_data, open_embedded
from gsched.errors import EmbeddedMongoError

__all__ = ["EmbeddedMongo", "EmbeddedMongoError", "find_mongod", "has_data", "open_embedded"]
