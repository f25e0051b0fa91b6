"""Connections that the server has come to refuse: which they are, and when a client is replaced."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from pymongo.errors import AutoReconnect, OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandSucceededEvent

from gsched.stores.mongodb.driver.connection import Connection
from gsched.stores.mongodb.driver.refusals import Refusals, is_refusal

DROPPED = {"code": 13, "errmsg": "command find requires authentication", "codeName": "Unauthorized"}
NO_ROLE = {"code": 13, "errmsg": "not authorized on app to execute command", "codeName": "Unauthorized"}


def succeeded(command):
    return CommandSucceededEvent(timedelta(0), {}, command, 1, ("localhost", 27017), 1)


def failed(failure):
    return CommandFailedEvent(timedelta(0), failure, "find", 1, ("localhost", 27017), 1)


@pytest.mark.parametrize(
    ("event", "is_noted"),
    [
        (failed(DROPPED), True),
        (failed(NO_ROLE), False),
        (failed({"code": 11000, "errmsg": "duplicate key"}), False),
        (SimpleNamespace(reply=AutoReconnect("a:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")), True),
        (SimpleNamespace(reply=AutoReconnect("a:1: [Errno 111] Connection refused")), False),
    ],
    ids=["dropped", "no role", "duplicate", "certificate", "down"],
)
def test_a_refusal_that_another_connection_would_not_meet_is_noted(event, is_noted):
    refusals = Refusals()
    refusals.succeeded(succeeded("find"))
    refusals.failed(event)
    assert refusals.noted is is_noted


def test_a_user_that_was_never_let_in_would_not_be_by_another_connection():
    refusals = Refusals()
    refusals.succeeded(succeeded("hello"))
    refusals.failed(failed(DROPPED))
    assert not refusals.noted


def test_a_user_that_lacks_a_role_is_not_refused_altogether():
    assert is_refusal(OperationFailure("", 13, DROPPED)) and not is_refusal(OperationFailure("", 13, NO_ROLE))


@pytest.fixture
def made():
    made = Connection(uri="mongodb://a", client=None, database="d", collection="jobs", address={}, options={})
    yield made
    made.close()


def test_a_client_that_is_refused_is_replaced_once(made):
    first = made.jobs().database.client
    made._made["bulk"].refusals.noted = True
    second = made.jobs().database.client
    assert second is not first and made.jobs().database.client is second
    assert made._replaced == [first], "others may be waiting for its answers"


def test_a_client_that_is_not_refused_stays(made):
    first = made.control().client
    assert made.control().client is first
