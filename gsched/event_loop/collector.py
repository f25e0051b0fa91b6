"""Python's garbage collector, while many objects are made that stay."""

from __future__ import annotations

import gc


def age_young_objects() -> None:
    """Put the objects that were made lately among the old ones, without looking at them.

    Otherwise the collector looks at all objects of the program several times while 10^5 jobs are added, each time for
    up to a tenth of a second in which nothing else runs. No setting changes, and nothing stays frozen. If the program
    has frozen objects, nothing happens: they cannot be told from the others.
    """
    if gc.isenabled() and not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()
