"""A private MongoDB that ends while jobs are run from it is started again; why it cannot be is logged."""

from __future__ import annotations

import gevent
from gevent.event import Event

from gsched.errors import EmbeddedMongoError
from gsched.stores.mongodb.driver import keeper
from gsched.stores.mongodb.driver.keeper import Keeper


class Mongo:
    """A server that cannot be started at first."""

    def __init__(self, *errors):
        self.errors, self.looks, self.done = list(errors), 0, Event()

    def start_again(self):
        self.looks += 1
        if not self.errors:
            self.done.set()
            return
        raise self.errors.pop(0)


def test_the_keeper_tries_again_and_again_and_logs_why_the_server_does_not_start(monkeypatch):
    monkeypatch.setattr(keeper, "LOOK_SECONDS", 0.001)
    said = []
    mongo = Mongo(EmbeddedMongoError("the disk is full"), OSError("no room"))
    kept = Keeper(mongo, said.append)
    greenlet = gevent.spawn(kept.run)
    assert mongo.done.wait(20)
    kept.stop()
    greenlet.join(20)
    assert greenlet.ready()
    assert [(event.name, event.error_type, event.error_message) for event in said] == [
        ("store.failed", "EmbeddedMongoError", "the disk is full"), ("store.failed", "OSError", "no room"),
    ]  # fmt: skip
