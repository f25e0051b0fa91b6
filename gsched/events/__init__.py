"""Events: the catalogue, the bus that delivers them to listeners, and the log. The catalogue has all public names."""

from gsched.events.catalogue import *  # noqa: F403 - `gsched.events` is the door to all of it
