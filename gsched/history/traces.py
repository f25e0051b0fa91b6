"""Tracebacks without their frames, so that a record keeps none of the user's objects."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import CodeType
from typing import Final

from gsched.errors import message_of

_LONGEST_TRACEBACK: Final = 8000
_MOST_FRAMES: Final = 50
_MOST_LINKS: Final = 10  # errors that caused each other


class Trace:
    """An error's traceback without its frames, which would keep the job's variables alive.

    The text is made when it is read. The standard library's TracebackException costs ten times as much, and 125 ms for
    a group of 10^4 errors, for which the hub would stand still.
    """

    __slots__ = ("_parts",)

    def __init__(self, error: BaseException) -> None:
        self._parts = tuple(_parts(error))

    def text(self) -> str:
        """The traceback as Python prints it; the end of it, if it is too long."""
        text: list[str] = []
        for introduction, frames, last_line in self._parts:
            text.append(introduction)
            if frames:
                text.append("Traceback (most recent call last):\n")
                summaries = [traceback.FrameSummary(code.co_filename, line, code.co_name) for code, line in frames]
                text += traceback.StackSummary.from_list(summaries).format()
            text.append(last_line)
        return "".join(text)[-_LONGEST_TRACEBACK:].encode(errors="replace").decode()


_Part = tuple[str, tuple[tuple[CodeType, int], ...], str]


def _parts(error: BaseException) -> Iterator[_Part]:
    """The introduction, the frames and the last lines of each error in the chain, in the order in which Python prints
    them."""
    links: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    following = ""
    while id(error) not in seen and len(links) < _MOST_LINKS:
        links.append((error, following))
        seen.add(id(error))
        if error.__cause__ is not None:
            error, following = error.__cause__, "The above exception was the direct cause of the following exception:"
        elif error.__context__ is not None and not error.__suppress_context__:
            error = error.__context__
            following = "During handling of the above exception, another exception occurred:"
    introduction = ""
    for each, following in reversed(links):
        yield introduction, _frames(each), _last_lines(each)
        introduction = f"\n{following}\n\n"


def _frames(error: BaseException) -> tuple[tuple[CodeType, int], ...]:
    """The frames that the error passed, the outermost first."""
    frames: list[tuple[CodeType, int]] = []
    at = error.__traceback__
    while at is not None:
        frames.append((at.tb_frame.f_code, at.tb_lineno or at.tb_frame.f_code.co_firstlineno))
        at = at.tb_next
    return tuple(frames[-_MOST_FRAMES:])


def _last_lines(error: BaseException) -> str:
    kind = type(error)
    home = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    name = home + kind.__qualname__
    message = message_of(error)
    lines = [f"{name}: {message}" if message else name, *map(str, getattr(error, "__notes__", ()))]
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  | {type(each).__qualname__}: {message_of(each)}" for each in error.exceptions[:_MOST_LINKS]]
    return "\n".join(lines) + "\n"
