"""Helper greenlets: no error of theirs is dropped."""

from __future__ import annotations

import logging

import gevent
import pytest

from gsched.event_loop.helpers import spawn


def fail(what: BaseException) -> None:
    raise what


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), gevent.Timeout(1), AssertionError()],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_ends_a_helper_is_logged_with_its_traceback(caplog, capsys, error):
    with caplog.at_level(logging.ERROR, "gsched"):
        helper = spawn(fail, error)
        helper.join()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("gsched", logging.ERROR)
    assert record.getMessage().startswith(f"helper.failed helper='fail' error_type={type(error).__name__!r}")
    assert 'in fail\n    raise what' in record.getMessage()
    assert (helper.value, capsys.readouterr().err) == (None, "")


def test_whoever_starts_one_may_take_its_error(caplog):
    errors: list[BaseException] = []
    spawn(fail, ValueError("mine"), on_error=errors.append).join()
    assert [str(error) for error in errors] == ["mine"] and not caplog.records


def test_one_that_is_killed_has_no_error(caplog):
    helper = spawn(gevent.sleep, 100)
    gevent.sleep(0)
    helper.kill()
    assert not caplog.records


def test_the_value_of_a_helper_is_what_its_call_returns():
    assert spawn(divmod, 7, 2).get() == (3, 1)
