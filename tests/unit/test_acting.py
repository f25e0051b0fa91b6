"""Actors: on whose behalf verbs are called."""

from __future__ import annotations

from threading import Thread

import gevent
import pytest

from gsched import InvalidJobError, acting
from gsched.schedulers.acting import current_actor


def test_the_actor_holds_inside_the_block_and_also_ends_with_an_error():
    assert current_actor() is None
    with pytest.raises(ZeroDivisionError), acting("ops", via="api", reason="deploy") as actor:
        assert current_actor() == actor == ("ops", "api", "deploy", None)
        raise ZeroDivisionError
    assert current_actor() is None


def test_of_nested_blocks_the_innermost_counts_alone():
    with acting("ops", via="api", reason="deploy"):
        with acting("bot"):
            assert current_actor() == ("bot", None, None, None)
        assert current_actor() == ("ops", "api", "deploy", None)


def test_a_greenlet_or_a_thread_started_inside_has_no_actor():
    seen = []
    with acting("ops"):
        seen.append(gevent.spawn(current_actor).get())
        thread = Thread(target=lambda: seen.append(current_actor()))
        thread.start()
        thread.join()
    assert seen == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name: expected a text that is not empty"),
        ({"name": 7}, "name: expected a text that is not empty, got 7"),
        ({"name": "x" * 201}, "name: expected at most 200 characters, got 201"),
        ({"name": "ops", "via": ""}, "via: expected a text that is not empty"),
        ({"name": "ops", "reason": "x" * 251}, "reason: expected at most 250 characters, got 251"),
    ],
)
def test_a_text_that_is_empty_or_too_long_is_refused_by_name(arguments, message):
    with pytest.raises(InvalidJobError, match=message), acting(**arguments):
        pass
