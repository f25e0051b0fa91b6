"""Whole numbers that users give."""

from __future__ import annotations

import pytest

from gsched.checks import checked_whole, written_whole
from gsched.errors import ConfigurationError, InvalidJobError


@pytest.mark.parametrize("value", [-1, True, False, 1.0, "1", None])
def test_a_value_that_is_no_whole_number_from_the_least_on_is_refused_by_name(value):
    with pytest.raises(InvalidJobError, match=r"^size: expected a whole number from 0, got "):
        checked_whole("size", value, 0, InvalidJobError)


@pytest.mark.parametrize(("value", "number"), [(3, 3), ("3", 3)])
def test_a_setting_may_be_written_as_text(value, number):
    assert written_whole("size", value, 1) == number


@pytest.mark.parametrize("value", ["0", "", "3.0", "-3", 0, True])
def test_a_setting_that_is_too_small_or_no_number_is_refused_as_it_was_written(value):
    with pytest.raises(ConfigurationError, match=f"^size: expected a whole number from 1, got {value!r}$"):
        written_whole("size", value, 1)
