"""Cursors: the place of a job in an ordered list, as text that a program hands back to get the next page."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gsched.errors import InvalidJobError

BY_TIME: Final = "next"
BY_ID: Final = "id"
BY_NAME: Final = "name"  # of a search: the jobs with the text in their names only, by id

_BY_TIME: Final = re.compile(r"next\.([01])\.(-|-?\d{1,18})\.(.+)", re.DOTALL)
_OTHER: Final = re.compile(r"(id|name)\.(.+)", re.DOTALL)


class JobCursor(NamedTuple):
    """The place of the last job of a page.

    :ivar order: how the list is ordered: BY_TIME, BY_ID or BY_NAME
    :ivar paused: the job is paused without an end; False unless the list is ordered by time
    :ivar due: its next run time as the list has it, ms; None: it has none
    """

    order: str
    paused: bool
    due: int | None
    id: str

    @classmethod
    def by_id(cls, job_id: str, order: str = BY_ID) -> JobCursor:
        """The place in a list by id."""
        return cls(order, False, None, job_id)

    def __str__(self) -> str:
        if self.order != BY_TIME:
            return f"{self.order}.{self.id}"
        return f"{BY_TIME}.{int(self.paused)}.{'-' if self.due is None else self.due}.{self.id}"

    @classmethod
    def read(cls, text: object) -> JobCursor:
        """The place that `str` has written. Raises InvalidJobError for any other text."""
        if isinstance(text, str) and (found := _BY_TIME.fullmatch(text)):
            paused, due, job_id = found.groups()
            return cls(BY_TIME, paused == "1", None if due == "-" else int(due), job_id)
        if isinstance(text, str) and (found := _OTHER.fullmatch(text)):
            return cls.by_id(found[2], found[1])
        raise InvalidJobError(f"after: expected the place that the page before gave as `next`, got {text!r}")
